"""Prints the output of commands: tables, JSON, and errors as one line on standard error."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tidegate.benchmarks.tables import Table
    from tidegate.export import Check
    from tidegate.runtime.contract import Blocks, Contract, Port, State

    Parts = Iterator[Table | str]


@contextmanager
def busy(text: str) -> Iterator[None]:
    """Show on standard error that work is in progress, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def show(parts: "Parts") -> None:
    """Print tables and sentences on standard output."""
    from tidegate.benchmarks import tables

    tables.show(*parts)


def print_json(fields: dict[str, Any]) -> None:
    """Print JSON on standard output."""
    typer.echo(json.dumps(fields, indent=1, default=str))


def save_json(path: Path, fields: dict[str, Any]) -> None:
    """Write a JSON file. After a crash, the file is either the old or the new one."""
    from tidegate.runtime.files import write_atomic

    write_atomic(path, json.dumps(fields, indent=1, default=str).encode() + b"\n")


def complain(text: str) -> None:
    """Print an error as one line on standard error, without line breaks and control characters."""
    line = " ".join(text.split())
    typer.echo(f"tidegate: error: {''.join(c if c.isprintable() else '?' for c in line)}", err=True)


def proof_table(checks: "Sequence[Check]") -> "Table":
    """Return the table of a proof, one row per comparison."""
    from tidegate.benchmarks.tables import Table

    rows = [
        [
            check.name,
            f"{check.error:.1e}",
            f"{'above' if check.must_differ else 'up to'} {check.tolerance:.0e}",
            "ok" if check.passed else "FAILED",
        ]
        for check in checks
    ]
    return Table("Proof: largest error relative to the largest value", ["check|", "error", "wanted", ""], rows)


def contract_table(contract: "Contract") -> "Table":
    """Return the table of a contract: inputs, outputs, states, lookahead and blocks."""
    from tidegate.benchmarks.tables import Table

    rows = [
        *(["input", port.name, _axes(port)] for port in contract.inputs),
        *(["signal", piece.name, " x ".join(map(str, piece.shape))] for piece in contract.pieces),
        *(["output", port.name, _axes(port)] for port in contract.outputs),
        *(
            [f"state {state.kind}", f"{state.input} <- {state.output}", _shape_and_start(state)]
            for state in contract.states
        ),
        *(["ahead", late.node, f"{late.frames} frames"] for late in contract.ahead),
        *([] if contract.blocks is None else [["backward", "blocks", _grid(contract.blocks)]]),
    ]
    if contract.looks_ahead:
        wait = "the whole stream" if contract.lookahead is None else f"up to {contract.lookahead} frames"
        rows.append(["answers", "wait for", wait])
    step = contract.frame_seconds
    rate = "no rate stated" if step is None else f"a frame every {step * 1e3:g} ms"
    return Table(f"Contract: {rate}", ["|", "name|", "axes, shape|"], rows, whole=True)


def _shape_and_start(state: "State") -> str:
    start = "" if state.initial == "zeros" else f", starts from {state.initial}"
    return " x ".join(map(str, state.shape)) + start


def _grid(blocks: "Blocks") -> str:
    if blocks.frames is None:
        return f"the whole stream, at most {blocks.limit} frames"
    return f"{blocks.frames} frames, {blocks.lookahead} ahead"


def _axes(port: "Port") -> str:
    time = "one answer per chunk" if port.time_axis is None else f"time on axis {port.time_axis}"
    return time if port.batch_axis is None else f"{time}, streams on axis {port.batch_axis}"


def size(count: int) -> str:
    """Return a number of bytes with a unit: `63.1 kB`."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.2f} MB"
