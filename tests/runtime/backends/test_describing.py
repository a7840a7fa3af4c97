"""What a stream says of itself, also while another thread uses it."""

from tidegate.runtime.backends.describing import describe_stream
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import BackendError
from tools.serving import small_plan


class Busy:
    """A stream that another thread uses."""

    finished = False

    @property
    def frames(self) -> int:
        raise BackendError("another thread uses the stream")


def test_a_stream_tells_how_far_it_is_or_that_it_is_in_use() -> None:
    stream = NativeModel(small_plan()).stream()
    stream.finish()
    assert describe_stream(stream, "native") == "<tidegate stream on native: frames: 0, finished>"
    assert describe_stream(Busy(), "native") == "<tidegate stream on native: in use by another thread>"  # type: ignore[arg-type]
