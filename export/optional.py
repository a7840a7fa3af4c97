"""Packages that only an export needs, imported at first use: `import tidegate.export` works without."""

import importlib
from types import ModuleType

from ..runtime.errors import BackendError


def need(name: str) -> ModuleType:
    """Import an optional package.

    Args:
        name: Its import name, e.g. `torch`.

    Raises:
        BackendError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name != package:
            raise  # installed, but broken: hiding which part is missing would mislead
        raise BackendError(f"{package} is not installed; exporting needs it: pip install 'tidegate[export]'") from None
