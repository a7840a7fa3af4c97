"""A filter in NumPy in the place of a file, its original and its loaded models: a proof of these takes milliseconds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tidegate.export.proof.comparison import Judge
from tidegate.export.proof.loaded import Loaded
from tidegate.export.proof.proof import Proof
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Ahead, Blocks, Contract, Port, State

Answers = dict[str, Array]
STATE = State("f.h_in", "f.h_out", "h", (1, "batch", 2))
BATCHED = Contract((Port("x", 0, 1),), (Port("y", 0, 1), Port("last", None, 0)), (STATE,))
SINGLE = Contract((Port("x", 0, None),), (Port("y", 0, None),), (replace(STATE, shape=(1, 1, 2)),))
AHEAD = replace(BATCHED, lookahead=2, ahead=(Ahead("conv", 2),))
GRID = replace(SINGLE, lookahead=3, blocks=Blocks(4, 0))
EXAMPLE = np.random.default_rng(0).normal(size=(14, 2, 2)).astype(np.float32)


def filtered(contract: Contract, x: Array, h: Array | None = None) -> Answers:
    """Return the answers to a signal `[frames, (batch,) features]`, and the state after it."""
    signal = x.astype(np.float64) if contract.inputs[0].batch_axis is not None else x[:, None].astype(np.float64)
    state = np.zeros(signal.shape[1:]) if h is None else h[0]
    made = []
    for frame in signal:
        state = 0.5 * state + frame
        made.append(state)
    y = np.array(made)
    if contract.ahead:
        y[:-2] += signal[2:]
    if contract.blocks:
        for start in range(0, len(y), 4):
            y[start : start + 4] += signal[start : start + 4].sum(0)
    return {"y": y if contract.inputs[0].batch_axis is not None else y[:, 0], "last": y[-1], "f.h_out": state[None]}


def named(contract: Contract, answers: Answers, *more: str) -> Answers:
    """Return the outputs of a contract, and others."""
    return {name: answers[name] for name in (*(port.name for port in contract.outputs), *more)}


@dataclass
class Runner:
    """The file: `fault` changes the answers of each run."""

    contract: Contract
    fault: Callable[[Array, Answers | None, Answers], Answers] = lambda _, __, answers: answers
    given: Mapping[str, Array] = field(default_factory=dict)
    runs: list[tuple[int, ...]] = field(default_factory=list)

    def run(self, x: Array, states: Answers | None = None) -> Answers:
        self.runs.append(x.shape)
        found = filtered(self.contract, x, states["f.h_in"] if states else None)
        return self.fault(x, states, named(self.contract, found, "f.h_out"))

    def carried(self, answers: Answers) -> Answers:
        return {"f.h_in": answers["f.h_out"]}


@dataclass
class Stream:
    """One stream of a loaded model; `error` is added to the answers of each push of the given count."""

    contract: Contract
    error: Callable[[int, int], float]
    seen: list[Array] = field(default_factory=list)
    given: int = 0
    pushes: int = 0

    def push(self, chunk: Array) -> dict[str, Array]:
        self.seen.append(chunk)
        self.pushes += 1
        frames = sum(map(len, self.seen))
        ready = frames - 2 if self.contract.ahead else frames // 4 * 4 if self.contract.blocks else frames
        return self._answer(max(ready, 0), len(chunk))

    def finish(self) -> dict[str, Array] | None:
        return self._answer(sum(map(len, self.seen)), 0) if self.contract.looks_ahead else None

    def _answer(self, ready: int, size: int) -> dict[str, Array]:
        signal = np.concatenate(self.seen)
        signal = signal[:, None] if self.contract.inputs[0].batch_axis is not None else signal
        found = filtered(self.contract, signal)
        y = found["y"].reshape(len(signal), -1)
        error = self.error(self.pushes, size)
        answer = {"y": y[self.given : ready] + error, "last": y[ready - 1] + error if ready > self.given else y[:0]}
        self.given = max(ready, self.given)
        return {port.name: answer[port.name] for port in self.contract.outputs}


@dataclass
class Model:
    """A loaded model."""

    contract: Contract
    error: Callable[[int, int], float] = lambda _, __: 0.0
    states: list[Any] = field(default_factory=list)

    def stream(self, state: Mapping[str, Array] | None = None) -> Stream:
        self.states.append(state)
        return Stream(self.contract, self.error)


def proof(contract: Contract = BATCHED, **more: Any) -> Proof:  # noqa: ANN401  any part
    """Return the proof of a good file; `more` is put in the place of a part of it."""
    example = EXAMPLE if contract.inputs[0].batch_axis is not None else EXAMPLE[:, 0]
    parts: dict[str, Any] = {
        "runner": Runner(contract),
        "original": lambda x: named(contract, filtered(contract, x)),
        "example": example,
        "judge": Judge(None),
        "loaded": Loaded({"native": Model(contract), "onnxruntime": Model(contract)}),  # type: ignore[dict-item]
    }
    return Proof(**(parts | more))
