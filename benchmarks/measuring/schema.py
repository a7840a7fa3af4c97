"""The JSON schema of `tidegate bench --json`, made of the classes that the file is written from."""

import re
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .environment import Environment
from .results import VERSION, Row

Schema = dict[str, Any]
NAMES: dict[Any, str] = {str: "string", int: "integer", float: "number", type(None): "null"}


def result_schema() -> Schema:
    """Return the schema of a result; each figure has the words of its class."""
    texts = {"type": "array", "items": {"type": "string"}}
    rows = {"type": "array", "items": _object(Row)}
    parts = {"version": {"const": VERSION}, "environment": _object(Environment), "warnings": texts, "rows": rows}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A result of `tidegate bench --json`",
        **_closed(parts),
    }


def _object(kind: type) -> Schema:
    """Return the schema of a dataclass: all fields are there."""
    hints, words = get_type_hints(kind), _words(kind.__doc__ or "")
    return _closed({one.name: _type(hints[one.name]) | {"description": words[one.name]} for one in fields(kind)})


def _closed(properties: Schema) -> Schema:
    names = list(properties)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _words(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each attribute."""
    said = re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)", docstring.partition("Attributes:")[2], re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in said}


def _type(hint: Any) -> Schema:  # noqa: ANN401  a type
    if hint in NAMES:
        return {"type": NAMES[hint]}
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is UnionType:
        return {"anyOf": [_type(one) for one in inner]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(inner[1])}
    if inner[1:] == (Ellipsis,):
        return {"type": "array", "items": _type(inner[0])}
    size = {"minItems": len(inner), "maxItems": len(inner)}
    return {"type": "array", "prefixItems": [_type(one) for one in inner], **size}
