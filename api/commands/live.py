"""`tidegate live`: streams from a microphone, a socket, a serial line or a file, and answers on time."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import (
    Backend,
    Chunk,
    File,
    Isa,
    Release,
    Require,
    SampleRate,
    check_release,
    check_target,
    counts,
    duration,
)
from tidegate.runtime.errors import ModelError
from tidegate.runtime.files import read_bytes, write_atomic

if TYPE_CHECKING:
    from tidegate.commands._live_answers import Write
    from tidegate.runtime.live.answers import Counters
    from tidegate.runtime.live.notices import Notices
    from tidegate.runtime.live.running import Degrade, Live, Watch
    from tidegate.runtime.streams import Model

MOST_BYTES = 2**24  # of a profile of health
EXAMPLE = (
    "tidegate live speaker.int8.onnx recording.wav --pace\n"
    "  tidegate live amplifier.int8.onnx mic --chunk 64\n"
    "  ffmpeg -i talk.mp3 -f s16le -ac 1 -ar 16000 - | \\\n"
    "    tidegate live kws.int8.onnx - --format s16le --rate 16000\n"
    "  tidegate live watch.int8.onnx 'serial:/dev/ttyACM0?baud=115200' \\\n"
    "    --late oldest --gap hold\n"
    "  tidegate live kws.int8.onnx 'tcp://:9000?listen' --format f32le \\\n"
    "    --to tcp://127.0.0.1:9001"
)


def command(
    path: File,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="mic, a file, - (standard input), tcp://HOST:PORT, udp://HOST:PORT, mqtt://HOST:PORT/TOPIC or "
            "serial:DEVICE.",
        ),
    ],
    *,
    chunk: Chunk = 1,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="How numbers come: text, a row per line, or raw, e.g. s16le or f32le."
        ),
    ] = "text",
    rate: SampleRate = None,
    channels: Annotated[int, typer.Option(min=1, metavar="N", help="Channels of raw numbers and of a microphone.")] = 1,
    pick: Annotated[str | None, typer.Option(metavar="N,N", help="Channels to take, from 0; default: all.")] = None,
    scale: Annotated[
        float | None,
        typer.Option(metavar="X", help="What each number is multiplied with; default: integers become -1 to 1."),
    ] = None,
    pace: Annotated[
        bool, typer.Option("--pace", help="Read a file at the speed of time, not as fast as it goes.")
    ] = False,
    late: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help="When the queue is full: wait, oldest (drop the oldest) or skip (drop all that wait).",
        ),
    ] = None,
    gap: Annotated[
        str,
        typer.Option(metavar="POLICY", help="Where frames were lost: hold the state, zeros in their place, or reset."),
    ] = "reset",
    queue: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Frames that may wait; default: those of one second.")
    ] = None,
    degrade: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A cheaper model with the same states, which goes on if many are late."),
    ] = None,
    reopen: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long a source that is gone is opened again, e.g. 30s; default: not."),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Lock the memory, raise the priority, freeze the garbage collector.")
    ] = False,
    watch_health: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Warn by name when the stream leaves what this profile says.")
    ] = None,
    learn_health: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the profile of this signal, which is a healthy one.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each answer.")] = False,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,..", help="Names of the values of an answer; the largest is shown.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="tcp://HOST:PORT", help="Send the lines of JSON there.")] = None,
    backend: Annotated[Backend, typer.Option(help="The backend that runs the model.")] = Backend.native,
    isa: Isa = None,
    require: Require = None,
    release: Release = 0,
) -> None:
    """Stream from a live source or a file, each chunk on time.

    Rows of numbers become frames of the model: samples are resampled to its rate, and joined if its frames are
    samples. A frame that comes twice, late or not at all is counted, and the answer after it says what the stream did.

    In a terminal the answers are a picture that moves. Elsewhere, and with --json, each answer is a line of JSON, and
    the last line has the counters. Ctrl-C ends an endless source.
    """
    from tidegate import load
    from tidegate.commands._live_answers import json_lines
    from tidegate.commands._live_view import live_view
    from tidegate.runtime.live.health import Learner
    from tidegate.runtime.live.live import live
    from tidegate.runtime.live.notices import Notices

    check_release(require, release)
    if learn_health is not None:
        if watch_health is not None:
            raise typer.BadParameter("--learn-health has no effect with --watch-health; learn first, then watch")
        check_target(learn_health, sources=(path, source, degrade, require))
    terminal = sys.stdout is not None and sys.stdout.isatty() and not json and to is None
    if labels and not terminal:
        raise typer.BadParameter("--labels has no effect without the picture in a terminal")
    opened = partial(load, backend=backend.value, isa=isa, require=require, release=release)
    model = opened(path)
    learner, notices = Learner(model.contract.frame_seconds), Notices()
    running = live(
        model,
        source,
        chunk=chunk,
        form=form,
        rate=rate,
        channels=channels,
        pick=counts("--pick", pick, 0) if pick else (),
        scale=scale,
        pace=pace,
        late=late,
        gap=gap,
        queue=queue,
        degrade=_degrade(opened(degrade), degrade, notices) if degrade else None,
        reopen=duration(reopen, "--reopen") if reopen else 0.0,
        realtime=realtime,
        watch=_watch(watch_health, notices) if watch_health else learner.take if learn_health else None,
        note=notices,
    )
    title = f"{path.name} <- {source}"
    names = labels.split(",") if labels else []
    shown = live_view(running, notices, title, names) if terminal else json_lines(running, notices, to)
    with running, shown as write:
        interrupted = _write_all(running, write)
        if learn_health is not None:
            write_atomic(learn_health, learner.profile().to_json().encode())
    if interrupted:
        raise KeyboardInterrupt


def _write_all(running: "Live", write: "Write") -> bool:
    """Write all answers; return whether an interrupt ended them, which is how an endless source ends."""
    try:
        for answer in running:
            write(answer)
    except KeyboardInterrupt:
        return True
    return False


def _watch(path: Path, notices: "Notices") -> "Watch":
    """Return a function that warns by the profile in a file."""
    from tidegate.runtime.live.health import Profile, Watcher

    try:
        profile = Profile.from_json(read_bytes(path, MOST_BYTES).decode())
    except (ModelError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: {error}") from None
    return Watcher(profile, notices).take


def _degrade(cheaper: "Model", path: Path, notices: "Notices") -> "Degrade":
    """Return a hook that goes on with a cheaper model."""

    def degrade(counters: "Counters") -> "Model":
        notices("degraded", f"{counters.late} chunks were late; {path} goes on")
        return cheaper

    return degrade
