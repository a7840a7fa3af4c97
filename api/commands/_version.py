"""The line of `tidegate --version`: the version, the variant of the engine, and the commit."""

from pathlib import Path

from tidegate import __version__

NO_COMMIT = "no commit: built outside a git checkout"


def version_line() -> str:
    """Return the line, with the variant that `load` takes: that of TIDEGATE_ISA, else the best one."""
    from tidegate.runtime import _kernels
    from tidegate.runtime.backends.native import default_isa

    return f"tidegate {__version__} (engine {default_isa()}, {_commit(Path(_kernels.__file__).parent)})"


def _commit(folder: Path) -> str:
    """Return the commit that the build wrote beside the engine; its file is empty outside a checkout."""
    path = folder / "commit.txt"
    commit = path.read_text().strip() if path.is_file() else ""
    return f"commit {commit}" if commit else NO_COMMIT
