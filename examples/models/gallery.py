"""Write the gallery of real models: docs/models.md and a page for each model.

    python examples/models/gallery.py [--fetch] [NAME ...]

The files of others are in `examples/models/files`; with --fetch the missing ones are fetched by the commands of the
table, models.toml. For each model its SHA-256 is checked, its three commands are run, and its answers are compared with
the original's. With names, only the pages of these models are written; without, docs/models.md too, unless files are
missing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pages
from measuring import Figures, FilesError, NotMeasuredError, fetch, measure
from table import Model, read

HERE = Path(__file__).parent.resolve()
OVERVIEW = HERE.parents[1] / "docs" / "models.md"


def result_of(model: Model, folder: Path, fetching: bool) -> Figures | str:
    """Return the figures of a model, or why it does not stream; show each step.

    Raises:
        FilesError: The files of the model are not as they must be.
    """

    def show(step: str) -> None:
        print(f"{model.name}: {step}", flush=True)

    try:
        if fetching:
            fetch(model, folder)
        return measure(model, folder, show)
    except NotMeasuredError as error:
        show(f"does not stream: {error}")
        return str(error)


def chosen(models: Sequence[Model], names: Sequence[str]) -> list[Model]:
    """Return the models of some names; all of them without names.

    Raises:
        ValueError: There is no model of a name.
    """
    known = {model.name: model for model in models}
    odd = [name for name in names if name not in known]
    if odd:
        raise ValueError(f"there is no model {odd[0]!r}, wanted {', '.join(known)}")
    return [known[name] for name in names] or list(models)


def main(arguments: Sequence[str], folder: Path = HERE, overview: Path = OVERVIEW) -> int:
    """Measure models and write their pages; return the exit status: 1 if files are missing or a name is unknown."""
    parser = argparse.ArgumentParser(description="Write the gallery of real models.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="models of models.toml; default: all")
    parser.add_argument("--fetch", action="store_true", help="fetch the files that are missing")
    asked = parser.parse_args(arguments)
    try:
        models = chosen(read(folder / "models.toml"), asked.names)
    except ValueError as error:
        print(f"gallery: error: {error}", file=sys.stderr)
        return 1
    results: dict[str, Figures | str] = {}
    for number, model in enumerate(models, 1):
        print(f"[{number}/{len(models)}] {model.title}", flush=True)
        try:
            results[model.name] = result_of(model, folder, asked.fetch)
        except FilesError as error:
            print(f"gallery: error: {model.name}: {error}", file=sys.stderr)
            continue
        (folder / f"{model.name}.md").write_text(pages.page(model, results[model.name]), encoding="utf-8")
    complete = len(results) == len(models)
    if complete and not asked.names:
        overview.write_text(pages.overview(models, results), encoding="utf-8")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
