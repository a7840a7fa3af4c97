"""The log: lines of JSON, few of a kind, exact counts, nothing that users sent."""

import io
import json
import logging
import os
import re
from contextlib import suppress

import numpy as np
from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.log import MOST_KINDS, Handler, Log, warnings_in
from tidegate.runtime.serving.requests import Limits
from tools.serving import Client, Clock, signal, small_model


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_row_234_a_million_refusals_are_a_bounded_log_with_exact_counts() -> None:
    out, clock = io.StringIO(), Clock()
    engine, log = Engine(small_model(), Limits(streams=2)), None
    log = Log(out, clock)
    for second in range(100):
        engine.counters.refused["gap"] += 10_000
        clock.now = float(second)
        log.counters({"small": engine})
    log.counters({"small": engine}, last=True)

    told = lines(out)
    assert len(told) == 11
    assert {(line["event"], line["model"], line["why"]) for line in told} == {("refused", "small", "gap")}
    assert sum(int(str(line["count"])) for line in told) == told[-1]["total"] == 1_000_000
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", str(line["time"])) for line in told)


def test_what_clients_send_is_not_in_the_log() -> None:
    out, engine = io.StringIO(), Engine(small_model(), Limits(streams=2))
    log, client = Log(out, Clock()), Client(owner="someone", name="secret-name")
    for chunk, fields in (
        (signal(2), {"frame": 0, "start": True}),
        (signal(2), {"frame": 7}),
        (np.full((1, 6), np.nan, np.float32), {"frame": 2}),
        (signal(1), {"frame": 2, "name": "\n{}" * 9}),
    ):
        engine.submit(client.request(chunk, **fields))
        engine.tick()
    log.counters({"small": engine})

    assert {line.get("why") for line in lines(out)} == {"gap", "values", "format"}
    assert not re.search("secret|someone|nan", out.getvalue())


def test_a_text_cannot_break_its_line_and_is_cut_off() -> None:
    out = io.StringIO()
    Log(out).line("load refused", reason='x\n{"event": "forged"}\n' + "y" * 1000, model="m")
    Log().line("nowhere")
    (line,) = lines(out)
    assert (line["event"], len(str(line["reason"]))) == ("load refused", 500)


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with suppress(BrokenPipeError), os.fdopen(writing, "w") as out:
        Log(out).line("open")
    Log(out).line("closed")


def listened(name: str) -> tuple[io.StringIO, Clock, Handler, logging.Logger]:
    """Return a handler that listens to a logger of its own, with its clock and what it writes."""
    out, clock = io.StringIO(), Clock()
    handler, logger = Handler(Log(out, clock)), logging.getLogger(f"test of {name}")
    logger.propagate = False
    logger.addHandler(handler)
    return out, clock, handler, logger


def test_warnings_of_the_server_libraries_are_counted_by_kind_without_what_is_filled_in() -> None:
    out, clock, handler, logger = listened("the log")
    for n in range(50):
        logger.warning("client %s sent %r", n, "secret")
        logger.info("fine")
    clock.now = 11.0
    logger.error("client %s sent %r", 0, "secret")
    logger.error("client %s sent %r", 0, "secret")
    handler.finish()
    handler.finish()

    told = [(line["event"], line["source"], line["text"], line["count"]) for line in lines(out)]
    kind = ("warning", "test of the log", "client %s sent %r")
    assert told == [(*kind, 1), (*kind, 50), (*kind, 1)]


def test_texts_into_which_a_library_wrote_what_a_client_sent_are_told_by_their_error() -> None:
    out = io.StringIO()
    logger = logging.getLogger("test of texts")
    logger.propagate = False
    with warnings_in(Log(out)):
        logger.handlers = logging.getLogger().handlers[-1:]
        for n in range(3):
            try:
                int(f"secret {n}")
            except ValueError as error:
                logger.exception("raised by [secret %d]" % n)  # noqa: UP031  as grpcio does
                logger.exception(error)  # noqa: TRY401
            logger.error("was lost\nsecret " + str(n))
    place = lines(out)[0]["text"]
    assert re.fullmatch(r"ValueError at test_log\.py:\d+", str(place))
    assert [(line["text"], line["total"]) for line in lines(out)] == [
        (place, 1),
        ("was lost", 1),
        (place, 6),
        ("was lost", 3),
    ]


def test_kinds_of_warnings_are_bounded() -> None:
    out, _, handler, logger = listened("kinds")
    for n in range(1000):
        logger.warning(f"client {n}")
    handler.finish()
    told = lines(out)
    assert len(told) == MOST_KINDS + 2
    assert (told[-1]["text"], told[-1]["total"]) == ("others", 1000 - MOST_KINDS)
