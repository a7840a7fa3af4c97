"""Front ends inside a model, from samples to features: `tidegate.frontend`."""

from tidegate.export.frontend import *  # noqa: F403  the public name of that package
from tidegate.export.frontend import __all__ as __all__  # noqa: PLC0414  exported again
