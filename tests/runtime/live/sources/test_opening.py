"""The name of a source says its kind."""

from pathlib import Path

import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.sources.files import File
from tidegate.runtime.live.sources.opening import open_source
from tidegate.runtime.live.sources.pcm import Form
from tidegate.runtime.live.sources.sockets import Tcp, Udp


def test_names_of_sources_open_their_kinds(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1\n")
    for name, kind in {
        "tcp://127.0.0.1:0?listen": Tcp,
        "tcp://127.0.0.1:9": Tcp,
        "udp://:0?numbered": Udp,
        str(tmp_path / "x.csv"): File,
    }.items():
        source = open_source(name, Form())
        source.close()
        assert isinstance(source, kind)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("http://a:1", ChunkError, "http:// is no kind of source; wanted mic, a file, -, tcp://HOST:PORT"),
        ("tcp://a:1?fast", ChunkError, r"fast is no option of tcp://, which has \?listen"),
        ("udp://a:1/x", ChunkError, r"/x is no option of udp://, which has \?numbered"),
        ("tcp://a", ChunkError, "wanted a host and a port"),
        ("nothing.npy", FileNotFoundError, "nothing.npy"),
    ],
)
def test_what_is_no_source_is_refused_by_name(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_source(name, Form())
