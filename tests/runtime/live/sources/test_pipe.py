"""Standard input as a source, with a real program in front of it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.sources.pcm import Form
from tidegate.runtime.live.sources.pipe import StandardInput

CODE = """
import sys, json
from tidegate.runtime.live.sources.pcm import Form
from tidegate.runtime.live.sources.pipe import StandardInput
form, channels = sys.argv[1:]
for block in StandardInput(Form(form, int(channels), 1)).blocks(8):
    print(json.dumps([block.at, block.rows.tolist()]), flush=True)
"""


@pytest.mark.parametrize("form", ["text", "s16le"])
def test_rows_come_as_soon_as_they_are_whole(form: str) -> None:
    rows = [[1, 2], [3, 4], [5, 6]]
    command = [sys.executable, "-c", CODE, form, "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for at, row in enumerate(rows):
            data = np.array(row, "<i2").tobytes() if form == "s16le" else f"{row[0]},{row[1]}\n".encode()
            for byte in data:  # a byte at a time
                process.stdin.write(bytes([byte]))
                process.stdin.flush()
            assert json.loads(process.stdout.readline()) == [at, [row]]
        process.stdin.close()
        assert process.wait() == 0


def test_a_closed_standard_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(ChunkError, match="there is no standard input, it is closed; give another source"):
        StandardInput(Form())
