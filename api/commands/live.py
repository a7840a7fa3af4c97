"""`tidegate live`: streams from a microphone, a socket, a serial line or a file, and answers on time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import Backend, Chunk, File, Isa, SampleRate, counts

if TYPE_CHECKING:
    from tidegate.runtime.live.answers import Counters
    from tidegate.runtime.live.notices import Notices
    from tidegate.runtime.live.running import Degrade
    from tidegate.runtime.streams import Model

EXAMPLE = (
    "tidegate live speaker.int8.onnx recording.wav --pace\n"
    "  tidegate live amplifier.int8.onnx mic --chunk 64\n"
    "  ffmpeg -i talk.mp3 -f s16le -ac 1 -ar 16000 - | tidegate live kws.int8.onnx - \\\n"
    "    --format s16le --rate 16000\n"
    "  tidegate live watch.int8.onnx 'serial:/dev/ttyACM0?baud=115200' --late oldest --gap hold\n"
    "  tidegate live kws.int8.onnx 'tcp://:9000?listen' --format f32le --to tcp://127.0.0.1:9001"
)


def command(
    path: File,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="mic, a file, - (standard input), tcp://HOST:PORT, udp://HOST:PORT or serial:DEVICE.",
        ),
    ],
    *,
    chunk: Chunk = 1,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="How numbers come: text, a row per line, or raw: s16le, f32le, u8 ..."
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
    to: Annotated[str | None, typer.Option(metavar="tcp://HOST:PORT", help="Send the lines of JSON there.")] = None,
    backend: Annotated[Backend, typer.Option(help="The backend that runs the model.")] = Backend.native,
    isa: Isa = None,
) -> None:
    """Stream from a microphone, a socket, a serial line or a file, and answer each chunk on time.

    Rows of numbers become frames of the model: samples are resampled to its rate, and joined if its frames are
    samples. A frame that comes twice, late or not at all is counted, and the answer after it says what the stream did.

    Each answer is a line of JSON. The last line has the counters.
    """
    from tidegate import load
    from tidegate.commands._live_answers import json_lines
    from tidegate.runtime.live.live import live
    from tidegate.runtime.live.notices import Notices

    model = load(path, backend.value, isa=isa)
    notices = Notices()
    with (
        live(
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
            degrade=_degrade(degrade, backend, isa, notices) if degrade else None,
            note=notices,
        ) as running,
        json_lines(running, notices, to) as write,
    ):
        for answer in running:
            write(answer)


def _degrade(path: Path, backend: Backend, isa: str | None, notices: "Notices") -> "Degrade":
    """Return a hook that goes on with a cheaper model."""
    from tidegate import load

    cheaper = load(path, backend.value, isa=isa)

    def degrade(counters: "Counters") -> "Model":
        notices("degraded", f"{counters.late} chunks were late; {path} goes on")
        return cheaper

    return degrade
