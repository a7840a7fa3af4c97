"""The live counters as text that Prometheus reads. No name of a stream or an owner is in it."""

import json
from collections.abc import Mapping
from dataclasses import asdict

from .engine import Engine

KIND = "text/plain; version=0.0.4; charset=utf-8"
GAUGES = {
    "streams": "Streams in progress.",
    "waiting_bytes": "Bytes that wait.",
    "plans": "Plans in memory: more than one after a swap.",
}
TOTALS = {
    "started": "Streams that started.",
    "ended": "Streams that their clients ended.",
    "idle": "Streams that were given up since nothing came.",
    "restored": "Streams that went on from the store.",
    "fenced": "Streams that another process has taken over.",
    "chunks": "Chunks that were answered.",
    "frames": "Frames that were answered.",
    "again": "Chunks that were answered again.",
    "pushes": "Calls of the engine, each for several streams.",
    "seconds": "How long these calls took together.",
    "cpu_seconds": "Their CPU time.",
    "snapshots": "Snapshots that are durable.",
    "swaps": "Plans that were put in the place of others.",
    "store_errors": "Snapshots and claims for which the store did not answer.",
}


def health_text(engines: Mapping[str, Engine], *, ready: bool, known: bool) -> bytes:
    """Return the page of a server's health, JSON: whether it is ready, and the live counters of each model.

    Args:
        engines: The engines by the names of their models.
        ready: Whether it takes streams.
        known: Whether who asks may come in; else there are no counters.
    """
    gauges = {model: {name: getattr(engine, name) for name in GAUGES} for model, engine in engines.items()}
    models = {model: {**gauges[model], **asdict(engine.counters)} for model, engine in engines.items()}
    return json.dumps({"ready": ready, "models": models} if known else {"ready": ready}, indent=1).encode() + b"\n"


def metrics_text(engines: Mapping[str, Engine]) -> bytes:
    """Return the counters of all models.

    Args:
        engines: The engines by the names of their models.
    """
    lines = [line for name, text in GAUGES.items() for line in _gauge(engines, name, text)]
    for name, text in TOTALS.items():
        lines += _head(f"{name}_total", text, "counter")
        lines += [_line(f"{name}_total", model, getattr(engine.counters, name)) for model, engine in engines.items()]
    lines += _head("refused_total", "Requests that were refused.", "counter")
    for model, engine in engines.items():
        lines += [_line("refused_total", model, count, why=why) for why, count in engine.counters.refused.items()]
    return ("\n".join(lines) + "\n").encode()


def _gauge(engines: Mapping[str, Engine], name: str, text: str) -> list[str]:
    return [*_head(name, text, "gauge"), *(_line(name, model, getattr(e, name)) for model, e in engines.items())]


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP tidegate_{name} {text}", f"# TYPE tidegate_{name} {kind}"]


def _line(name: str, model: str, value: float, **labels: str) -> str:
    pairs = {"model": model, **labels}
    inside = ",".join(f'{key}="{_escaped(label)}"' for key, label in pairs.items())
    return f"tidegate_{name}{{{inside}}} {value}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
