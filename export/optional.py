"""Packages that only an export needs: imported at first use, so `import tidegate.export` works without them."""

import importlib
from types import ModuleType

from ..runtime.errors import BackendError


def need(name: str) -> ModuleType:
    """Import an optional package.

    Args:
        name: The import name, e.g. `torch`.

    Raises:
        BackendError: The package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name != package:
            raise  # the package is installed, but another one that it needs is missing
        raise BackendError(f"{package} is not installed; exporting needs it: pip install 'tidegate[export]'") from None
