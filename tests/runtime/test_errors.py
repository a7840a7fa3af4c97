"""The tree of exceptions: as drawn at the head of its module, as defined, as exported."""

import inspect
import re

import tidegate
from tidegate.runtime import errors

DRAWN = re.compile(r"^((?:  │   |      )*  )[├└]── (\w+) ", re.MULTILINE)


def drawn() -> dict[str, str]:
    """Return the parent of each class below the root, as the tree is drawn."""
    parents: dict[str, str] = {}
    above = ["TidegateError"]
    for indent, name in DRAWN.findall(errors.__doc__ or ""):
        depth = (len(indent) + 4) // 6
        above[depth:] = [name]
        parents[name] = above[depth - 1]
    return parents


def defined() -> dict[str, str]:
    """Return the parent of each class below the root, as they are defined."""
    classes = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TidegateError)
    ]
    return {kind.__name__: kind.__bases__[0].__name__ for kind in classes if kind is not errors.TidegateError}


def test_the_drawn_tree_is_the_tree() -> None:
    assert drawn() == defined()


def test_every_error_is_exported() -> None:
    names = {"TidegateError", *defined()}
    assert {name for name in tidegate.__all__ if name.endswith("Error")} == names
    assert all(getattr(tidegate, name) is getattr(errors, name) for name in names)
