"""The tables of `tidegate bench`: their order, their marks, and variants without figures."""

from dataclasses import replace
from typing import Any

from tidegate.benchmarks.measuring.results import Row
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.showing.bench_tables import by_case, headline, latency, refusals, resources


def row(steps: int, precision: str, us: float | None, **fields: Any) -> Row:  # noqa: ANN401
    """Return a row of case A; without a time it is a refused one."""
    reasons = {} if us else {"row": "it cannot"}
    interval = (us - 0.1, us + 0.1) if us else None
    return Row("x", precision, "run", "A", steps, "closed", p50_us=us, interval_us=interval, reasons=reasons, **fields)


def test_the_fastest_is_first_and_a_doubtful_one_is_marked() -> None:
    table = latency([row(1, "slow", 20.0, unsteady=0.5), row(1, "no", None), row(1, "fast", 1.0, error_rms=1e-3)])

    assert table.title == "A, chunks of 1 frame, closed loop: microseconds per chunk"
    assert [line[:2] for line in table.rows] == [["x fast run", "1.00"], ["~ x slow run", "20.0"]]
    assert [line[-1] for line in table.rows] == ["1.0e-03", "-"]


def test_an_open_loop_shows_calls_and_misses() -> None:
    table = latency([row(4, "fast", 30.0, rate_hz=100.0, service_p50_us=20.0, misses=3)])

    assert table.title == "A, chunks of 4 frames, open loop, a chunk due every 10000 us: microseconds per chunk"
    assert table.columns == ["|", "p50", "call", "p99", "p99.9", "max", "misses", "error"]
    assert table.rows == [["x fast run", "30.0", "20.0", "-", "-", "-", "3", "-"]]


def test_the_sentence_to_quote_says_that_times_are_unstable() -> None:
    """Of the two rows in it: who quotes the sentence leaves the warnings of the page behind."""
    times = {"tidegate": 1.0, "x": 2.0, "y": 9.0}
    ours, other, last = (replace(row(1, "fast", us), peer=peer) for peer, us in times.items())

    steady = headline([ours, other, replace(last, unsteady=0.5)], "a core")

    assert steady == (
        "A: tidegate fast run takes 1.00 us in the median for a chunk of 1 frame; x fast run takes 2.00 us, 2 times as "
        "long. Timed in a closed loop: 0 chunks in 0 processes on one core of a core."
    )
    for rows in ([replace(ours, unsteady=0.5), other], [ours, replace(other, unsteady=0.5)]):
        assert headline(rows, "a core") == f"{steady} Not to be quoted: these times are unstable (~)."


def test_a_variant_without_figures_has_its_name_and_reason() -> None:
    peer = Row("tract", "-", "-", "A", 1, "closed", reasons={"row": "not installed"})

    assert refusals([row(1, "fast", 1.0), row(1, "no", None), peer]) == ["x no run: it cannot", "tract: not installed"]


def test_resources_have_readable_units() -> None:
    used = row(
        1, "fast", 1.0, load_ms=2.34, first_step_us=50.0, cpu_share=0.25, file_bytes=63_000, rss_bytes=66 * 10**6
    )

    starts, takes = resources([used, row(1, "no", None)])

    assert starts.rows == [["x fast run", "-", "2.3", "50", "-"]]
    assert takes.rows == [["x fast run", "25.0", "-", "-", "63", "66.0", "-", "-"]]


def test_a_case_has_one_row_per_variant_and_marks_what_is_unstable() -> None:
    rows = [
        row(1, "slow", 20.0),
        row(4, "slow", 40.0, unsteady=0.5),
        row(1, "fast", 1.0, error_rms=1e-3),
        row(4, "fast", None),
    ]

    table = by_case(rows, {"A": stacks.CASES["A"]})

    assert table.title.startswith("A 40->128, closed loop")
    assert [line[:2] for line in table.rows] == [["x fast run", "1.00"], ["x slow run", "20.0"]]
    assert table.rows[0][2] == "0.90-1.10"
    assert [line[4] for line in table.rows] == ["-", "40.0~"]
    assert table.rows[0][6] == "1.0e-03"


def test_a_variant_that_is_refused_at_the_first_chunk_size_keeps_its_other_figures() -> None:
    table = by_case([row(1, "fast", None), row(4, "fast", 3.0)], {})

    assert table.rows == [["x fast run", "-", "-", "-", "3.00", "-", "-", "-", "-", "-", "-", "-"]]
    assert len(table.rows[0]) == len(table.columns)
