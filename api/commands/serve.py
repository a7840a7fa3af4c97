"""`tidegate serve`: streams of many clients on models, over a network."""

from pathlib import Path
from typing import Annotated

import typer
from tidegate.commands._options import Release, Require, check_release
from tidegate.runtime.errors import BackendError

EXAMPLE = "tidegate serve watch.int8.onnx --ws 127.0.0.1:8002 \\\n    --grpc 127.0.0.1:8001 --store streams"
PACKAGES = {"--ws": ["picows"], "--grpc": ["grpc", "google.protobuf"], "--http": ["uvicorn"]}
FIELDS = {"--ws": "websocket", "--grpc": "grpc", "--http": "http"}


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="MODEL", help="Plans or streaming ONNX files.")],
    *,
    ws: Annotated[
        str | None, typer.Option("--ws", metavar="HOST:PORT", help="Open the websocket door; port 0: any free one.")
    ] = None,
    grpc: Annotated[
        str | None, typer.Option("--grpc", metavar="HOST:PORT", help="Open the Open Inference Protocol over gRPC.")
    ] = None,
    http: Annotated[
        str | None, typer.Option("--http", metavar="HOST:PORT", help="Open the Open Inference Protocol over HTTP.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            envvar="TIDEGATE_STORE",
            help="Keep snapshots of streams beyond the server's end: a folder, redis://HOST or s3://BUCKET/PREFIX.",
        ),
    ] = None,
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Streams of other plans go on, if their state has the same layout."),
    ] = False,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Frames between two snapshots of a stream.")] = 50,
    tokens: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lines OWNER TOKEN: who may come in, with streams of their own."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate chain for TLS, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key, PEM.")] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Allow addresses that other machines reach without tokens or TLS.")
    ] = False,
    require: Require = None,
    release: Release = 0,
    streams: Annotated[int, typer.Option(min=1, metavar="N", help="Streams in progress of each model.")] = 4096,
    streams_of_one: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Those of one owner of a token; default: all.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, metavar="N", help="Most frames of a chunk.")] = 1024,
    idle: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Give a stream up after so long.")] = 60.0,
) -> None:
    """Serve streams of many clients, each with its own state.

    Clients call a model by its file's name up to the first dot. The messages are in docs/serve.md. SIGTERM and Ctrl-C
    answer what waits and close; SIGHUP loads the files again. The log is JSON lines on stderr.
    """
    import asyncio
    import sys

    check_release(require, release)
    given = {"--ws": ws, "--grpc": grpc, "--http": http}
    doors = {option: _address(option, text) for option, text in given.items() if text is not None}
    if not doors:
        raise typer.BadParameter(f"no door is open; wanted one or more of {', '.join(given)} HOST:PORT")
    _check_packages([package for option in doors for package in PACKAGES[option]])
    from tidegate.runtime.serving.access import Access
    from tidegate.runtime.serving.log import Log
    from tidegate.runtime.serving.requests import Limits
    from tidegate.runtime.serving.served_model import ServedModel
    from tidegate.runtime.serving.server import serve
    from tidegate.runtime.serving.stores.opening import open_store

    access = Access.of(tokens, tls_cert, tls_key)
    for host, _ in () if open_ else doors.values():
        access.check(host)
    limits = Limits(streams=streams, streams_of_one=streams_of_one or streams, frames=frames, idle=idle, every=every)
    models = [ServedModel.of(path, require=require, release=release) for path in paths]
    kept = None if store is None else open_store(store)
    log = Log(sys.stderr)
    addresses = {FIELDS[option]: address for option, address in doors.items()}
    asyncio.run(serve(models, limits, store=kept, access=access, adopts=adopt, log=log, ready=_say, **addresses))


def _say(ports: dict[str, int]) -> None:
    for door, port in ports.items():
        typer.echo(f"{door} is open on port {port}")


def _address(option: str, text: str) -> tuple[str, int]:
    """Return the host and the port of an option such as --ws 127.0.0.1:8002.

    Raises:
        typer.BadParameter: The text is not a host and a port.
    """
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 2**16):
        raise typer.BadParameter(f"{option} is {text!r}, wanted HOST:PORT, e.g. 127.0.0.1:8002")
    return host.strip("[]"), int(port)


def _check_packages(names: list[str]) -> None:
    from importlib.util import find_spec

    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise BackendError(f"{', '.join(missing)} is not installed; run: pip install 'tidegate[serve]'")
