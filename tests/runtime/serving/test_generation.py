"""Plans of a served model: a new one in the place of the old, while streams are in progress."""

import dataclasses

import numpy as np
import pytest
from tidegate.runtime.errors import ModelError
from tidegate.runtime.load import load
from tidegate.runtime.operators import Elementwise
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program, Reading
from tidegate.runtime.serving.engine import MOST_PLANS, Engine
from tidegate.runtime.serving.generation import Generation, try_out
from tidegate.runtime.serving.requests import Limits
from tidegate.runtime.serving.served_model import ServedModel
from tools.random_layers import gru, lstm
from tools.serving import Client, alone, ids_plan, overflowing_plan, signal, small_model, small_plan
from tools.streams import contract_of


def engine(streams: int = 8) -> Engine:
    return Engine(small_model(), Limits(streams=streams))


def generation(seed: int = 0, *, adopts: bool = False, rows: int = 8, plan: bytes = b"") -> Generation:
    return Generation(ServedModel.of(plan or small_plan(seed), "small"), rows, adopts=adopts)


def adopted(frames: np.ndarray, at: int, seed: int) -> bytes:
    """The answers of the first plan up to a frame, and those of another from its state."""
    old, new = load(small_plan()), load(small_plan(seed))
    first, second = old.stream(), new.stream()
    before = first.push(frames[:at])
    second.restore(new.adopt(first.snapshot(), old.layout))
    return bytes(before.tobytes() + second.push(frames[at:]).tobytes())


def wider() -> bytes:
    """A plan of the same form as the small one, whose state has another layout."""
    rng = np.random.default_rng(5)
    ops = (lstm(rng, 0, (6, 7), Reading.FRAME, 16), gru(rng, 1, (7, 3), Reading.HIDDEN, 16))
    program = Program(6, ops, (("y", 2),))
    return compile_program(program, contract_of(program))


def push(held: Engine, client: Client, frames: np.ndarray, at: int, **fields: object) -> None:
    held.submit(client.request(frames, frame=at, start=at == 0, **fields))
    while held.waits:
        held.tick()


def test_row_37_a_stream_ends_on_its_plan_and_new_ones_start_on_the_new_plan() -> None:
    held, old, new, frames = engine(), Client(name="old"), Client(name="new"), signal(20)
    push(held, old, frames[:7], 0)
    assert held.swap(generation(1)) == 0
    push(held, new, frames, 0)
    push(held, old, frames[7:], 7)

    assert old.answers == alone(frames)
    assert new.answers == alone(frames, small_plan(1))
    assert (held.plans, held.streams, held.counters.swaps) == (2, 2, 1)
    push(held, old, frames[:0], 20, end=True)
    held.sweep()
    assert (held.plans, held.streams) == (1, 1)


@pytest.mark.parametrize("swaps", [1, 3])
def test_streams_are_adopted_where_the_caller_says_so(swaps: int) -> None:
    held, client, frames = engine(), Client(), signal(20)
    push(held, client, frames[:7], 0)
    for _ in range(swaps):
        assert held.swap(generation(1, adopts=True)) == 1
    push(held, client, frames[7:], 7)

    assert client.answers == adopted(frames, 7, 1)
    assert held.plans == 1


def test_the_same_plan_again_takes_every_stream_and_changes_no_bit() -> None:
    held, clients, frames = engine(), [Client(name=f"s{n}") for n in range(8)], signal(20)
    for at in range(0, 20, 4):
        for client in clients:
            push(held, client, frames[at : at + 4], at)
        assert held.swap(generation()) == 8
    assert {client.answers for client in clients} == {alone(frames)}


def test_a_chunk_that_waits_goes_to_the_plan_that_took_its_stream() -> None:
    held, client, frames = engine(), Client(), signal(8)
    push(held, client, frames[:4], 0)
    held.submit(client.request(frames[4:], frame=4))
    held.swap(generation(1, adopts=True))
    held.tick()
    assert client.answers == adopted(frames, 4, 1)


def test_row_230_a_plan_that_cannot_be_put_in_place_changes_nothing() -> None:
    held, client, frames = engine(), Client(), signal(12)
    push(held, client, frames[:5], 0)
    with pytest.raises(ModelError, match=r"small: outputs of the new plan is .*; serve it under another name"):
        held.swap(generation(plan=overflowing_plan()))
    with pytest.raises(ModelError, match=r"small: streams cannot be adopted: .*:7 .*load it without adopt"):
        held.swap(generation(plan=wider(), adopts=True))
    push(held, client, frames[5:], 5)
    assert client.answers == alone(frames)
    assert (held.plans, held.counters.swaps) == (1, 0)

    assert held.swap(generation(plan=wider())) == 0  # the advice of the message: the stream stays
    assert held.plans == 2


def test_streams_can_be_on_some_plans_but_not_on_any_number() -> None:
    held = engine(MOST_PLANS)
    clients = [Client(name=f"s{n}") for n in range(MOST_PLANS)]
    for n, client in enumerate(clients):
        push(held, client, signal(6)[:3], 0)
        if n < MOST_PLANS - 1:
            held.swap(generation(n + 1, rows=MOST_PLANS))
    with pytest.raises(ModelError, match=f"on {MOST_PLANS} plans; wait until some end, or adopt them"):
        held.swap(generation(99, rows=MOST_PLANS))
    for n, client in enumerate(clients):
        push(held, client, signal(6)[3:], 3, end=True)
        assert client.answers == alone(signal(6), small_plan(n))
    held.swap(generation(99, rows=MOST_PLANS))
    assert held.plans == 1


def test_swaps_under_load_leave_nothing_behind() -> None:
    """Streams of all lengths over three plans: each answers as on the plan on which it started."""
    held, rng = engine(), np.random.default_rng(0)
    seeds = {load(small_plan(seed)).hash: seed for seed in range(3)}
    going: dict[int, tuple[Client, int, int]] = {}
    for step in range(300):
        if step % 5 == 4:
            held.swap(generation(step % 3))
        n = int(rng.integers(6))
        client, at, seed = going.pop(n, (Client(name=f"s{n}"), 0, seeds[held.served.model.hash]))
        push(held, client, signal(12, n)[at : at + 3], at, end=at == 9)
        assert client.answers == alone(signal(12, n)[: at + 3], small_plan(seed))
        if at < 9:
            going[n] = (client, at + 3, seed)
    held.sweep()
    assert held.streams == len(going)
    assert held._current.streams + sum(plan.streams for plan in held._before) == held.streams


@pytest.mark.parametrize("plan", [small_plan(), ids_plan(), wider()])
def test_good_plans_pass_their_trial(plan: bytes) -> None:
    try_out(ServedModel.of(plan))


def test_a_plan_that_refuses_or_mixes_a_plain_signal_fails_its_trial() -> None:
    rng = np.random.default_rng(0)
    louder = [Elementwise((n,), "mul", np.full(3, 1e18, np.float32)) for n in (1, 2)]
    ops = (lstm(rng, 0, (6, 3), Reading.FRAME, 16), *louder)
    program = Program(6, ops, (("y", 3),))
    with pytest.raises(ModelError, match="loud: a trial signal of 24 frames is not answered"):
        try_out(ServedModel.of(compile_program(program, contract_of(program)), "loud"))

    served = small_model()
    mixing = dataclasses.replace(served, model=Mixing(served.model))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="in chunks, beside another stream, gives another state"):
        try_out(mixing)


class Mixing:
    """A model whose groups push the first row twice."""

    def __init__(self, model: object) -> None:
        self._model = model

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def streams(self, rows: int) -> object:
        group = self._model.streams(rows)  # type: ignore[attr-defined]
        if rows > 1:
            group.push(np.ones((1, 1, 6), np.float32), [0])
        return group
