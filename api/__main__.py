"""Runs the `tidegate` command, also as `python -m tidegate`."""

import sys

NEEDED = ("typer", "rich")  # by the command alone: streaming needs neither


def main() -> None:
    """Run the command and exit with its status, which is 1 if a package that it needs is not installed."""
    try:
        from tidegate.cli import main as command
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        sys.exit(f"tidegate: error: {error.name} is not installed; the command needs it: pip install 'tidegate[cli]'")
    command()


if __name__ == "__main__":
    main()
