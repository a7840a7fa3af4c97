"""The blocks of code in docs/: Python runs, commands have the options that they are given, all else says what it is.

The tutorial and the pages of docs/howto are run whole, by tests of their own.
"""

import ast
import logging
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tidegate
import typer
from tidegate.cli import app
from tools.keys import write_keys
from tools.onnx_files import write_lstm
from tools.page_blocks import blocks_of

ROOT = Path(__file__).parents[1]
DOCS = sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md"))
KINDS = {"python", "sh", "js", "cpp", "cmake", "json", "text"}  # text: what is printed
Names = dict[str, Any]
RNG = np.random.default_rng(0)


def blocks(page: str, kind: str) -> list[str]:
    """Return the blocks of a page of one kind."""
    return [text for found, text in blocks_of(ROOT / page) if found == kind]


def noise(*shape: int) -> Any:  # noqa: ANN401  given to snippets
    return RNG.normal(0, 1, shape).astype(np.float32)


# ---- what the snippets of a page find: files in the folder, and names ----


def a_stream() -> Names:
    model = tidegate.load(write_lstm(Path("m.onnx")))
    return {"model": model, "h": noise(1, 1, 8) / 10, "c": noise(1, 1, 8)}


def samples() -> Names:
    return {"samples": noise(1600)}


def a_group() -> Names:
    tidegate.quantize(write_lstm(Path("kws.onnx")), "kws.int8.onnx")
    chunks = noise(8, 10, 6)
    stream = tidegate.load("kws.int8.onnx").stream()
    return {"tg": tidegate, "chunks": chunks, "h": noise(1, 1, 8) / 10, "stream": stream, "log": logging.getLogger()}


def a_refused_row() -> Names:
    chunks = noise(8, 10, 6)
    chunks[3, 0, 0] = np.nan
    return {"chunks": chunks}


def streams_of_sounds() -> Names:
    import torch

    class Tagger(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = torch.nn.LSTM(6, 8, batch_first=True), torch.nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.out(self.lstm(x)[0])
            return answer

    write_lstm(Path("m.onnx"))
    return {"tg": tidegate, "streams": [noise(50, 6)] * 4, "model": Tagger(), "example": torch.randn(1, 20, 6)}


def signed_plan() -> Names:
    private, _ = write_keys(Path(), "KEY")
    tidegate.compile_model(write_lstm(Path("kws.onnx")), "kws.tide")
    tidegate.sign("kws.tide", private, release=7)
    return {"tg": tidegate}


def two_plans() -> Names:
    tidegate.compile_model(write_lstm(Path("watch.onnx")), "watch.tide")
    tidegate.quantize("watch.onnx", "other.onnx")
    tidegate.compile_model("other.onnx", "watch-retrained.tide")
    return {"tg": tidegate, "snapshot": tidegate.load("watch.tide").stream().snapshot()}


def two_signals() -> Names:
    import torch
    from tools.signal_nets import Echo

    tidegate.export_model(Echo(), (torch.randn(1, 20, 5), torch.randn(1, 20, 4)), "echo.onnx")
    given = {"near": noise(10, 5), "far": noise(10, 4), "nears": noise(8, 10, 5), "fars": noise(8, 10, 4)}
    return {"tidegate": tidegate, **given}


def words() -> Names:
    import torch
    from tools.signal_nets import Words

    tidegate.export_model(Words(), (torch.randint(0, 50, (1, 20)), torch.randn(1, 20, 5)), "words.onnx")
    return {"stream": tidegate.load("words.onnx").stream(), "np": np, "features": noise(2, 5)}


def a_speaker() -> Names:
    import torch
    from tools.signal_nets import Voice

    tidegate.export_model(Voice(), (torch.randn(1, 20, 8), torch.randn(1, 256)), "voice.onnx")
    given = {"vector": noise(1, 256), "other": noise(1, 256), "x": noise(10, 8)}
    return {"model": tidegate.load("voice.onnx"), **given}


# Before each snippet of a page one of these, in order; the last snippets may do with what is there.
SETTINGS: dict[str, tuple[Callable[[], Names], ...]] = {
    "docs/contract.md": (a_stream,),
    "docs/frontend.md": (samples,),
    "docs/groups.md": (a_group, a_refused_row),
    "docs/quantization.md": (streams_of_sounds,),
    "docs/signals.md": (two_signals, words, a_speaker),
    "docs/signatures.md": (signed_plan,),
    "docs/snapshot.md": (two_plans,),
}
WHOLE = ("docs/tutorial.md", "docs/howto/")
# Clients of a server or of a socket: that their calls exist is tested here, what they do by the tests that are named.
CLIENTS = {
    "docs/clusters.md": "tests/examples/ray/test_streams.py",
    "docs/live.md": "tests/runtime/live/test_live.py",
    "docs/serve.md": "tests/runtime/serving/client",
}


@pytest.mark.parametrize("page", DOCS)
def test_a_block_says_what_it_is(page: str) -> None:
    assert {kind for kind, _ in blocks_of(ROOT / page)} <= KINDS


def test_the_snippets_of_every_page_are_run() -> None:
    pages = {page for page in DOCS if blocks(page, "python") and not page.startswith(WHOLE)}
    assert pages == {*SETTINGS, *CLIENTS}
    assert [test for test in CLIENTS.values() if not (ROOT / test).exists()] == []


@pytest.mark.parametrize("page", SETTINGS)
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("cryptography")
    monkeypatch.chdir(tmp_path)
    names: Names = {}
    for number, text in enumerate(blocks(page, "python")):
        if number < len(SETTINGS[page]):
            names |= SETTINGS[page][number]()
        exec(compile(text, page, "exec"), names)  # noqa: S102  the repository's own pages


@pytest.mark.parametrize("page", CLIENTS)
def test_python_of_clients_is_python(page: str) -> None:
    """The names that they import, and the calls of tidegate, exist."""
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tidegate"):
                module = __import__(str(node.module), fromlist=["_"])
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in {"tg", "tidegate"}
            ):
                assert node.attr in tidegate.__all__


# ---- commands ----


def commands(text: str) -> list[list[str]]:
    """Return the calls of tidegate in a block of shell, word by word."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words[1:] for line in lines if (words := shlex.split(line, comments=True)) and words[0] == "tidegate"]


@pytest.mark.parametrize("page", ["README.md", *(page for page in DOCS if blocks(page, "sh"))])
def test_commands_have_their_options(page: str) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for text in [*blocks(page, "sh"), *(blocks(page, "") if page == "README.md" else [])]:
        for name, *words in commands(text):
            options = {option for parameter in known[name].params for option in parameter.opts}
            given = {word.split("=")[0] for word in words if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
            assert given <= {*options, "--help"}, f"{page}: tidegate {name}"


def test_an_option_that_is_not_there_is_found() -> None:
    """The way the check above reads commands."""
    assert commands("tidegate run m.onnx \\\n  --none x  # why\nmake it\n") == [["run", "m.onnx", "--none", "x"]]
