"""Opens a source by its name: `mic`, a file, `-`, `tcp://`, `udp://`, `mqtt://`, `serial:`."""

import os
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from ...errors import ChunkError
from .bytes_of_rows import Note, quiet
from .files import File
from .microphone import Microphone
from .mqtt import Mqtt
from .pcm import Form
from .pipe import StandardInput
from .serial_line import SerialLine
from .sockets import Tcp, Udp, address
from .source import Source

BAUD, MQTT_PORT = 115200, 1883
KINDS = "mic, a file, -, tcp://HOST:PORT, udp://HOST:PORT, mqtt://HOST:PORT/TOPIC, serial:DEVICE"


def open_source(name: str | os.PathLike[str], form: Form, rate: float | None = None, note: Note = quiet) -> Source:
    """Open a source.

    Args:
        name: `mic` or `mic:DEVICE`; `-`; `tcp://host:port` (connects) or `tcp://host:port?listen`;
            `udp://host:port`, or with `?numbered`; `mqtt://user:password@host:port/topic`, user and port left out if
            there are none; `serial:DEVICE`, or with `?baud=115200`; else the path of a file.
        form: How numbers are written, in sources that do not say it.
        rate: Rows per second, in sources that do not say it.
        note: Takes what is odd, while the source runs.

    Raises:
        ChunkError: There is no such kind of source, or its options are wrong.
        BackendError: A package that it needs is not installed.
        OSError: It cannot be opened.
    """
    text = os.fspath(name)
    if text == "-":
        return StandardInput(form, rate, note)
    scheme, found, _ = text.partition("://")
    if found and scheme in ("tcp", "udp"):
        return _socket(text, form, rate, note)
    if found and scheme == "mqtt":
        return _mqtt(text, form, rate, note)
    kind, _, device = text.partition(":")
    if kind == "mic":
        return Microphone(device, rate, form.channels, note)
    if kind == "serial":
        return _serial(device, form, rate, note)
    if found:
        raise ChunkError(f"{text}: {scheme}:// is no kind of source; wanted {KINDS}")
    return File(Path(text), rate)


def _serial(text: str, form: Form, rate: float | None, note: Note) -> Source:
    device, _, options = text.partition("?")
    name, _, baud = options.partition("=")
    if not device or (options and (name != "baud" or not baud.isdecimal())):
        raise ChunkError(f"serial:{text}: wanted a device and maybe its speed, e.g. serial:/dev/ttyACM0?baud=115200")
    return SerialLine(device, int(baud or BAUD), form, rate, note)


def _mqtt(text: str, form: Form, rate: float | None, note: Note) -> Source:
    peer, _, topic = text.removeprefix("mqtt://").partition("/")  # a topic may have # and ?
    login, at, place = peer.rpartition("@")
    name, _, password = login.partition(":")
    host, port = address(place if ":" in place else f"{place}:{MQTT_PORT}", text)
    if not host or not topic:
        raise ChunkError(f"mqtt://{place}/{topic}: wanted a broker and a topic, e.g. mqtt://127.0.0.1:1883/sensors/1")
    return Mqtt(host, port, topic, form, rate, (unquote(name), unquote(password)) if at else None, note)


def _socket(text: str, form: Form, rate: float | None, note: Note) -> Source:
    parts = urlsplit(text)
    host, port = address(parts.netloc, text)
    flag = {"tcp": "listen", "udp": "numbered"}[parts.scheme]
    odd = set(parse_qs(parts.query, keep_blank_values=True)) - {flag}
    if odd or parts.path:
        raise ChunkError(f"{text}: {', '.join(odd) or parts.path} is no option of {parts.scheme}://, which has ?{flag}")
    if parts.scheme == "tcp":
        return Tcp(host, port, form, rate, listen=bool(parts.query), note=note)
    return Udp(host, port, form, rate, numbered=bool(parts.query), note=note)
