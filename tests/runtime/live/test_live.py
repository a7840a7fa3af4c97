"""Live streams: answers are those of the model offline wherever nothing was lost, and each frame is accounted for."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.answers import LiveAnswer
from tidegate.runtime.live.clock import Clock
from tidegate.runtime.live.live import live
from tidegate.runtime.live.sources.source import Block
from tidegate.runtime.live.waiting import Late
from tidegate.runtime.load import load
from tidegate.runtime.streams import GAPS, Gap, Model
from tools.live import RATE, Hand, Slow, accounted, frames, offline, run, small_model, with_gaps

MODEL = small_model()
X = frames(400)


class Apart:
    """A source whose clock runs faster than the machine's."""

    name, waits, comes = "apart", True, False
    rate: float | None = None

    def __init__(self, x: Floats, hand: Hand, skew: float) -> None:
        self._x, self._hand, self._skew = x, hand, skew

    def blocks(self, rows: int) -> Iterator[Block]:
        for at in range(0, len(self._x), rows):
            self._hand.time = (at + rows) / (1 + self._skew)
            yield Block(at, self._x[at : at + rows])

    def close(self) -> None:
        pass


# ---- nothing is lost ----


@pytest.mark.parametrize("chunk", [1, 7, 400, 1000])
def test_answers_are_those_of_the_model_however_the_source_cuts(chunk: int) -> None:
    found = list(live(MODEL, (X[at : at + 13] for at in range(0, len(X), 13)), chunk=chunk))

    assert np.array_equal(np.concatenate([answer.values for answer in found]), MODEL.stream().push(X))
    assert [b.first for b in found] == [0, *(a.first + a.frames for a in found)][:-1]
    assert not any(answer.lost or answer.late for answer in found)


def test_at_the_speed_of_time_an_answer_comes_when_its_frames_are_there() -> None:
    hand = Hand()

    found = list(run(MODEL, X, hand, "wait", chunk=4))

    assert hand.time == pytest.approx(len(X) / RATE)
    assert [answer.due for answer in found] == pytest.approx([(a.first + a.frames) / RATE for a in found])
    assert all(answer.delay == pytest.approx(0, abs=1e-9) for answer in found)


def test_asyncio_gives_the_same_answers() -> None:
    async def gather() -> list[LiveAnswer]:
        return [answer async for answer in live(MODEL, X, chunk=50)]

    offline(MODEL, X, asyncio.run(gather()), "reset")


def test_a_model_that_looks_ahead_gives_all_answers_also_at_the_end(tmp_path: object) -> None:
    model = _looking_ahead(str(tmp_path))

    found = [answer.values for answer in live(model, X, chunk=16)]

    whole = model.stream()
    wanted = np.concatenate([whole.push(X), whole.finish()])
    assert np.array_equal(np.concatenate(found), wanted)


@pytest.mark.parametrize("gap", GAPS)
def test_a_model_that_looks_ahead_loses_no_answer_at_a_gap(gap: Gap, tmp_path: object) -> None:
    """What it held back before the gap comes as an answer without frames."""
    model = _looking_ahead(str(tmp_path))

    found = list(live(model, with_gaps(X, [(200, 230)], 10), chunk=10, gap=gap))

    stream = model.stream()
    wanted = [stream.push(X[:200]), stream.skip(30, gap), stream.push(X[230:]), stream.finish()]
    assert np.array_equal(
        np.concatenate([answer.values for answer in found]), np.concatenate([w for w in wanted if w is not None])
    )


def _looking_ahead(folder: str) -> Model:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lstm = torch.nn.Conv1d(3, 4, 5, padding=2), torch.nn.LSTM(4, 3, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.lstm(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]
            return made

    torch.manual_seed(0)
    export_model(Net(), torch.randn(1, 20, 3), f"{folder}/a.onnx", sample_rate=RATE)
    return load(f"{folder}/a.onnx")


# ---- gaps ----


@pytest.mark.parametrize("gap", GAPS)
def test_row_29_lost_repeated_and_swapped_blocks_change_nothing_else(gap: Gap) -> None:
    """A block that came before is left out, one that is missing is a gap, and the answer says what was done."""
    blocks = list(with_gaps(X, [], 8))
    rng = np.random.default_rng(1)
    sent: list[Block] = []
    for block in blocks:
        chance = rng.random()
        sent += [] if chance < 0.1 else [block, block] if chance < 0.2 else [block]
    for place in range(5, len(sent) - 1, 11):
        sent[place], sent[place + 1] = sent[place + 1], sent[place]

    running = live(MODEL, sent, chunk=4, gap=gap)
    found = list(running)

    offline(MODEL, X, found, gap)
    counters = running.counters
    assert counters.gaps > 3
    assert counters.repeated > 8
    assert counters.lost == sum(answer.lost for answer in found)
    accounted(counters, found[-1].first + found[-1].frames)


def test_a_refused_chunk_is_a_gap_and_leaves_the_answers_finite() -> None:
    x = X.copy()
    x[100, 1], x[108, 0], x[399, 2] = np.nan, np.inf, np.nan

    running = live(MODEL, x, chunk=4)
    found = list(running)

    offline(MODEL, x, found, "reset")
    assert [(a.first, a.lost) for a in found if a.lost] == [(104, 4), (112, 4)]
    assert (running.counters.refused, running.counters.gaps) == (12, 2)
    accounted(running.counters, len(X))


def test_a_frame_that_lacks_a_sample_is_lost() -> None:
    """A model that takes frames of 4 samples: samples 41 to 46 are in the frames 10 and 11."""
    model = small_model(sample_rate=200, hop=4, features=4)
    samples = frames(400, 1)

    running = live(model, with_gaps(samples, [(41, 47)]), rate=200, gap="zeros")
    found = list(running)

    offline(model, samples.reshape(-1, 4), found, "zeros")
    assert [(a.first, a.lost) for a in found if a.lost] == [(12, 2)]
    accounted(running.counters, 100)


# ---- late ----


@pytest.mark.parametrize("late", ["oldest", "skip"])
def test_row_31_overload_keeps_the_queue_bounded_and_ends_with_it(late: Late) -> None:
    """Pushes take twice the time of their frames for a minute, then a tenth."""
    hand, x = Hand(), frames(RATE * 90)
    period = 4 / RATE
    model = Slow(MODEL, hand, lambda _: 2 * period if hand.time < 60 else period / 10)

    running = run(model, x, hand, late, chunk=4, queue=40)
    found = [(answer, hand.time, running.counters.queue) for answer in running]

    offline(MODEL, x, [answer for answer, _, _ in found], "reset")
    accounted(running.counters, len(x))
    assert running.counters.lost == 0
    assert running.counters.longest_queue <= 40
    assert all(answer.delay <= 40 / RATE + 3 * period for answer, _, _ in found)
    assert running.counters.dropped == pytest.approx(60 * RATE / 2, rel=0.1)
    after = [answer for answer, now, _ in found if now > 60 + 40 / RATE + 2 * period]
    assert len(after) > 300
    assert not any(answer.late or answer.lost for answer in after)
    gaps = [answer.lost for answer, _, _ in found if answer.lost]
    assert max(gaps) >= 32 if late == "skip" else max(gaps) <= 12


def test_a_source_that_waits_loses_nothing_and_says_what_was_late() -> None:
    hand = Hand()
    model = Slow(MODEL, hand, lambda push: 3.0 if push == 20 else 0.0)

    running = run(model, X, hand, "wait", queue=16)
    found = list(running)

    offline(MODEL, X, found, "reset")
    assert running.counters.late == sum(answer.late for answer in found) > 100
    assert found[20].delay == pytest.approx(3.0)
    assert running.counters.delays.max_value == pytest.approx(3e6, rel=0.01)
    assert running.counters.on_time + running.counters.late == len(found)
    accounted(running.counters, len(X))


@pytest.mark.parametrize("skew", [1e-4, -1e-4])
def test_row_32_a_source_whose_clock_runs_apart_loses_nothing_in_a_day(skew: float) -> None:
    """100 ppm are 8.6 seconds a day. The answers stay on time, and the difference is a figure."""
    hand, model, x = Hand(), small_model(sample_rate=1), frames(86_400)
    running = live(model, Apart(x, hand, skew), chunk=8, clock=hand.clock())
    running._chunker.timed = True  # the source moves the clock itself
    for answer in running:
        assert not answer.late
        assert answer.delay < 0.02

    accounted(running.counters, len(x))
    assert running.counters.gaps == 0
    assert running.counters.skew == pytest.approx(skew, rel=0.01)


def test_row_38_a_storm_of_garbage_collection_loses_no_frame() -> None:
    stop = threading.Event()

    def storm() -> None:
        while not stop.is_set():
            kept: list[object] = [[i] for i in range(1000)]
            kept.append(kept)
            gc.collect()

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        running = live(MODEL, X, chunk=4)
        found = list(running)
    finally:
        stop.set()
        thread.join()

    offline(MODEL, X, found, "reset")
    assert running.counters.lost == running.counters.dropped == 0


def test_row_38_pauses_make_answers_late_and_lose_nothing() -> None:
    """Every 20th push waits half a second, as for a collection; a frame comes every 20 ms."""
    hand = Hand()
    running = run(Slow(MODEL, hand, lambda push: 0.0 if push % 20 else 0.5), X, hand, "wait", chunk=4)
    found = list(running)

    offline(MODEL, X, found, "reset")
    assert sum(answer.frames for answer in found) == len(X)
    assert running.counters.late >= 5
    assert running.counters.lost == running.counters.dropped == 0


# ---- faults of every kind ----


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("late", ["wait", "oldest", "skip"])
def test_under_stalls_gaps_and_bad_values_nothing_else_is_lost(late: Late, gap: Gap) -> None:
    hand, x = Hand(), frames(3000, seed=4)
    x[700, 1] = np.nan
    stalls = {100: 1.5, 101: 0.5, 400: 20.0}
    model = Slow(MODEL, hand, lambda push: stalls.get(push, 0.001))

    running = run(model, with_gaps(x, [(30, 33), (500, 900), (1500, 1501)]), hand, late, gap, chunk=3, queue=30)
    found = list(running)

    offline(MODEL, x, found, gap)
    accounted(running.counters, len(x))
    assert (running.counters.dropped == 0) == (late == "wait")
    for before, after in pairwise(found):
        assert after.first == before.first + before.frames + after.lost


# ---- refusals ----


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (3, {}, "int is no source; wanted a name, an array or an iterator of arrays"),
        (X, {"late": "never"}, "late is 'never', wanted wait, oldest, skip"),
        (X, {"late": "oldest"}, "is read as fast as it goes, so nothing is ever late; pace it, or wait"),
        (X, {"gap": "fill"}, "gap is 'fill', wanted hold, zeros, reset"),
        (X, {"form": "s7"}, "format 's7' is unknown; wanted one of text, u8"),
        ("ftp://a", {}, "ftp:// is no kind of source; wanted mic, a file"),
        ("udp://:0", {"late": "wait"}, "does not wait, and what nobody reads is lost; choose late oldest or skip"),
    ],
)
def test_wrong_options_are_refused_by_name(source: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(ChunkError, match=message):
        live(MODEL, source, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"late": "oldest", "pace": True}, {"late": "wait"}])
def test_a_file_is_paced_or_waited_for(options: dict[str, object]) -> None:
    found = list(live(MODEL, X[:9], clock=Hand().clock(), **options))  # type: ignore[arg-type]
    assert sum(answer.frames for answer in found) == 9


@pytest.mark.parametrize("late", ["oldest", "skip"])
def test_a_source_that_does_not_wait_takes_what_the_message_names(late: Late) -> None:
    with live(MODEL, "udp://127.0.0.1:0", late=late) as running:
        assert running.counters.dropped == 0


def test_rows_that_are_no_frames_are_refused_with_the_way_out() -> None:
    with pytest.raises(ChunkError, match=r"has 7 values in a row, the model takes frames of 3: .* pick channels"):
        list(live(MODEL, frames(10, 7)))

    found = list(live(MODEL, frames(10, 7), pick=(6, 0, 2)))
    assert np.array_equal(np.concatenate([a.values for a in found]), MODEL.stream().push(frames(10, 7)[:, [6, 0, 2]]))


def test_the_clock_of_the_machine_is_the_default() -> None:
    assert Clock().now() > 0
