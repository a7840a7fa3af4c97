"""What messages name exists: options of commands, commands, targets of make, extras, and names of torch and onnx.

And each way out that a message names stands in a test: it is looked for there, and taken.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import pytest
import typer
from tidegate import cli

ROOT = Path(__file__).parents[2]
FOLDERS = ("api", "export", "quant", "runtime", "benchmarks")
OF_ROOM = {"export/foreign": "lift", "quant": "quantize"}  # whose messages only this command shows
OPTION = r"(?<![\w,-])(?<!var\()--[a-z][a-z-]*[a-z](?![\w-]*:)"  # and no name of a style sheet
COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


def _text(node: ast.AST) -> str:
    """Return the text of a string; what it formats is a dot."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "."


def _strings(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the lines and the texts of the strings in a tree that are no docstrings."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield getattr(node, "lineno", 0), _text(node)
        return
    for child in ast.iter_child_nodes(node):
        docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        yield from () if docstring else _strings(child)


@cache
def _messages() -> tuple[tuple[str, str], ...]:
    """Return the place and the text of each string of words in the source."""
    found = []
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        texts = _strings(ast.parse(path.read_text()))
        found += [(f"{name}:{line}", text) for line, text in texts if " " in text]
    return tuple(found)


def _named(pattern: str) -> dict[str, str]:
    """Return what the messages name, and one place of each name."""
    return {name: place for place, text in _messages() for name in re.findall(pattern, text)}


def _options(command: str) -> set[str]:
    return {option for parameter in COMMANDS[command].params for option in parameter.opts} | {"--help", "--version"}


def _commands_of(place: str) -> list[str]:
    """Return the commands that may show a message: one of the message's own, or all."""
    own = re.match(r"api/commands/([a-z]+)\.py", place)
    room = next((command for room, command in OF_ROOM.items() if place.startswith(f"{room}/")), None)
    return [own[1]] if own else [room] if room else list(COMMANDS)


def test_row_123_each_option_that_a_message_names_is_one_of_its_command() -> None:
    seen, wrong = set(), []
    for place, text in _messages():
        known = {option for command in _commands_of(place) for option in _options(command)}
        if place.startswith("benchmarks/"):  # commands of their own
            known |= set(re.findall(OPTION, (ROOT / place.partition(":")[0]).read_text().partition("add_argument")[2]))
        for option in re.findall(OPTION, text.partition("npm install")[0]):  # those of npm are its own
            seen.add(option)
            wrong += [] if option in known else [f"{place}: {option}"]
    assert wrong == []
    assert {"--set", "--state", "--data", "--calibration", "--closed"} <= seen


def test_each_command_that_a_message_names_is_there() -> None:
    named = _named(r"`tidegate ([a-z]+)")
    assert named.keys() >= {"export", "lift", "quantize", "compile"}
    assert named.keys() <= COMMANDS.keys()


def test_each_target_of_make_that_a_message_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"peers", "setup"} <= _named(r"`make ([a-z]+)`").keys() <= targets


def test_each_extra_that_a_message_names_is_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"audio", "export", "onnxruntime"} <= _named(r"tidegate\[(\w+)\]").keys() <= extras.keys()


NAMES = {
    "torch.nn": r"(?<![\w.])nn\.([A-Z]\w+)",
    "torch": r"(?<![\w.])torch\.(\w[\w.]*\w)",
    "onnx": r"(?<![\w.])onnx\.([a-z_.]+\w)",
}


@pytest.mark.parametrize("package", NAMES)
def test_each_name_of_torch_and_onnx_in_a_message_is_there(package: str) -> None:
    pytest.importorskip(package)
    named = _named(NAMES[package])
    assert len(named) > 2
    for name, place in named.items():
        module, _, last = f"{package}.{name}".rpartition(".")
        assert hasattr(resolve_name(module), last), f"{place}: {package}.{name}"


# ---- ways out ----

TAKEN = (  # what a user is told to do
    r"add|answer|ask|call|check|choose|close|compile|copy|create|cut|declare|do|drop|end|"
    r"export|finish|fold|free|give|hand|inline|join|keep|leave|let|lift|list|load|look|"
    r"make|measure|move|name|normalize|open|pack|pass|pool|push|put|quantize|raise|"
    r"read|remove|rename|replace|resample|reset|restore|return|run|save|say|set|simplify|"
    r"split|start|take|train|transform|try|turn|use|wait|write"
)
WAY_OUT = re.compile(rf"(?:^|[;:] |\(|, (?=or |else ))(?:or |and |first |else )?(?:{TAKEN})\b.*")
RUN = 24  # characters of a way out that a test must share, or all of its longest words
NONE = (  # pages and examples, and what names no way out
    "tidegate ",
    "python -m tidegate.",
    "open loop, a chunk due",
    "load ms",  # heads of columns
    "start ms",
    ".. read: loading every weight byte",
    "--against: the other build has no figures",
    "Tail, ., open loop",
    "load was . on . cores",
    "stream . was in another process",  # said to a client, which asks by itself
    "train each net with each seed",
    "write ",
    "When the queue is full",  # the values of an option
    "Where frames were lost",
    "With --target: name",
    "reset h",  # the candidate of a GRU
)


def _ways_out() -> list[tuple[str, str]]:
    """Return the place and the text of each way out; what installs a package is `test_each_extra_...`'s."""
    found = []
    for place, text in _messages():
        line = " ".join(text.split())
        way_out = WAY_OUT.search(line)
        if way_out is not None and not line.startswith(NONE) and not re.search(r"install|\n.*\n", text):
            found.append((place, way_out[0]))
    return found


def _pieces(text: str) -> list[str]:
    """Return what stands between the values that a message formats."""
    return [piece.strip(" ;:,()'") for piece in text.split(".")]


def _runs(text: str) -> set[str]:
    """Return the runs of RUN characters of a way out; if its pieces are shorter, the longest of them."""
    pieces = _pieces(text)
    size = min(RUN, max(map(len, pieces)))
    return {piece[i : i + size] for piece in pieces for i in range(len(piece) - size + 1)} - {""}


@cache
def _looked_for() -> str:
    """Return the strings of all tests but this one."""
    paths = (path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    texts = (text for path in paths for _, text in _strings(ast.parse(path.read_text())))
    return "\n".join(re.sub(r"\\(.)", r"\1", " ".join(text.split())) for text in texts)


def test_row_165_each_way_out_in_a_message_stands_in_a_test() -> None:
    ways_out = _ways_out()
    assert len(ways_out) > 200
    missing = [f"{place}: {text}" for place, text in ways_out if not any(run in _looked_for() for run in _runs(text))]
    assert missing == []
