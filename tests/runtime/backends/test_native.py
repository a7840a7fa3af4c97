"""help() of models, streams and groups shows the text and the types of the protocols, on every backend."""

import ast
import inspect
import pydoc
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidegate.runtime import _kernels, streams
from tidegate.runtime.load import Backend, load
from tools.onnx_files import write_lstm

Function = ast.FunctionDef

KINDS = {"Model": streams.Model, "Stream": streams.Stream, "Group": streams.Group}
STUBS = ast.parse((Path(streams.__file__).parent / "_kernels.pyi").read_text())
OWN_CLASSES = re.compile(r"(Native|Onnxruntime)(?=Model|Stream|Group)")  # a backend's classes stand for the protocols


@pytest.fixture(params=["native", "onnxruntime"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """A model of each backend, a stream and a group of it."""
    backend: Backend = request.param
    model = load(write_lstm(tmp_path / "m.onnx"), backend)
    return {"Model": model, "Stream": model.stream(), "Group": model.streams(2)}


def public(names: object) -> set[str]:
    return {name for name in dir(names) if not name.startswith("_")}


def written(node: Function) -> str:
    """Return a signature as the protocols would write it, without the name."""
    text = f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns) if node.returns else None}"
    return OWN_CLASSES.sub("", text).replace("'", "").replace("collections.abc.", "")


def signature(member: object) -> str:
    """Return the signature of a method or property, in Python or in C++."""
    function = member.fget if isinstance(member, property) else member
    if isinstance(shown := getattr(function, "__nb_signature__", None), tuple):
        (text, _, defaults), *_ = shown
        for value in defaults or ():
            text = text.replace("\\0", repr(value), 1)
        source = "def it" + text[text.index("(") :] + ": ..."
    else:
        assert inspect.isfunction(function)
        source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    assert isinstance(node, Function)
    return written(node)


def documentation(member: object) -> str:
    """Return the text about a member; a method in C++ has its signature on the first line."""
    text = inspect.getdoc(member) or ""
    return text.partition("\n\n")[2] if hasattr(member, "__nb_signature__") else text


@pytest.mark.parametrize("kind", KINDS)
def test_every_member_says_what_its_protocol_says(live: dict[str, object], kind: str) -> None:
    protocol, own = KINDS[kind], type(live[kind])
    for name in public(protocol):
        said, member = getattr(protocol, name), getattr(own, name)
        assert documentation(member) == inspect.getdoc(said), name
        assert signature(member) == signature(said), name
        assert isinstance(member, property) == isinstance(said, property), name


@pytest.mark.parametrize("kind", KINDS)
def test_members_of_a_backend_alone_are_documented_too(live: dict[str, object], kind: str) -> None:
    own = type(live[kind])
    assert [name for name in public(own) if not documentation(getattr(own, name))] == []


def test_help_of_push_shows_signature_shapes_and_errors(live: dict[str, streams.Stream]) -> None:
    text = pydoc.plain(pydoc.render_doc(live["Stream"].push))
    assert re.search(r"^ *push\((self, )?chunk: .+, \*, out: .+ = None\) -> .+$", text, re.MULTILINE)
    assert "`[frames, features]`" in text
    assert "ChunkError" in text


def test_python_without_docstrings_loads_the_engine() -> None:
    code = "from tidegate.runtime import _kernels; print(_kernels.variants()[-1], _kernels.Stream.push.__doc__)"
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("scalar")
    assert "ChunkError" not in done.stdout


def stubs(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and the signature of each function and method."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from stubs(node.body, f"{node.name}.")
        elif isinstance(node, Function):
            yield within + node.name, written(node)


def test_stubs_are_those_of_the_built_module() -> None:
    found = {name: signature(getattr(_kernels, name)) for name in ("sizes", "variants")}
    for kind in (_kernels.Model, _kernels.Stream, _kernels.Group):
        found |= {f"{kind.__name__}.{name}": signature(getattr(kind, name)) for name in {"__init__", *public(kind)}}
    assert dict(stubs(STUBS.body)) == found
