"""The microphone, by PortAudio, from a real sound server: PulseAudio with a sink that nobody hears."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.nets import stacks
from tidegate.runtime.errors import BackendError
from tidegate.runtime.live.sources.microphone import Microphone

MODULES = ["module-native-protocol-unix", "module-null-sink sink_name=null rate=16000 channels=1 format=s16le"]
RECORD = """
import sys
import numpy as np
from tidegate.runtime.live.sources.microphone import Microphone
source = Microphone("", 16000.0, 1)
print("ready", flush=True)
found = []
for block in source.blocks(800):
    assert block.at == sum(map(len, found))
    found.append(block.rows)
    if sum(map(len, found)) > 16000 * 60 or np.abs(block.rows[:, 0] - 0.5).max() < 0.01:  # the mark at the end
        source.close()
np.save(sys.argv[1], np.concatenate(found))
"""


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a sound server of our own, and return the environment in which it is the default."""
    for tool in ("pulseaudio", "pactl", "pacat"):
        if shutil.which(tool) is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{tool} is not installed")
    (tmp_path / "run").mkdir()
    (tmp_path / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    folders = dict.fromkeys(("HOME", "XDG_CONFIG_HOME"), str(tmp_path)) | {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    environment = {**os.environ, **folders}
    options = ["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--log-level=error"]
    command = ["pulseaudio", *options, *(f"-L{module}" for module in MODULES)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            pactl = shutil.which("pactl") or "pactl"
            while subprocess.run([pactl, "info"], env=environment, capture_output=True, check=False).returncode:
                assert server.poll() is None, "the sound server did not start"
            subprocess.run([pactl, "set-default-source", "null.monitor"], env=environment, check=True)
            yield environment
        finally:
            server.terminate()


@pytest.mark.slow
def test_the_samples_are_those_that_were_played(sound: dict[str, str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    played = (rng.uniform(-0.3, 0.3, 8000) * 2**15).astype("<i2")
    mark = np.full(16000, 2**14, "<i2")
    python = [sys.executable, "-c", RECORD, str(tmp_path / "heard.npy")]
    play = ["pacat", "--raw", "--format=s16le", "--rate=16000", "--channels=1", "--device=null"]
    with subprocess.Popen(python, env=sound, stdout=subprocess.PIPE) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == b"ready\n"
        subprocess.run(play, input=played.tobytes() + mark.tobytes(), env=sound, check=True)
        assert recorder.wait() == 0

    heard = np.load(tmp_path / "heard.npy")[:, 0]
    parts = (played.reshape(8, 1000) / 2**15).astype(np.float32)
    places = [int(np.argmax(np.correlate(heard, part))) for part in parts]
    starts = zip(places, parts, strict=True)
    exact = [np.allclose(heard[at : at + 1000], part[: len(heard) - at], atol=1e-4) for at, part in starts]
    assert sum(exact) >= 2, "a sound server on a busy machine drops some of what it plays"


@pytest.mark.slow
def test_the_command_answers_what_the_microphone_hears(sound: dict[str, str], tmp_path: Path) -> None:
    """It is resampled: the model takes 8000 samples per second, 80 in a frame."""
    layers = stacks.random_layers(stacks.Case("small", 1, 4, 1))
    stacks.save_model(layers, tmp_path / "m.onnx", sample_rate=8000)
    options = ["m.onnx", "mic", "--rate", "16000", "--chunk", "80"]
    command = [sys.executable, "-m", "tidegate", "live", *options]
    with subprocess.Popen(command, env=sound, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(20)]
        process.terminate()

    assert [line["first"] for line in lines] == list(range(0, 1600, 80))
    assert np.isfinite([line["answers"]["y"] for line in lines]).all()


@pytest.mark.slow
def test_a_device_that_is_not_there_is_one_clear_line(sound: dict[str, str]) -> None:
    code = "from tidegate.runtime.live.sources.microphone import Microphone\nMicrophone('no such device', 16000.0)"
    done = subprocess.run([sys.executable, "-c", code], env=sound, capture_output=True, text=True, check=False)

    assert "OSError: mic:no such device: cannot be opened: " in done.stderr


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)

    with pytest.raises(BackendError, match=r"a microphone needs sounddevice; pip install 'tidegate\[live\]'"):
        Microphone("", 16000)


def test_row_41_no_python_runs_in_the_audio_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    """PortAudio calls Python for each buffer only if it is given a callback. An overflow is a note, and a gap."""
    sounddevice = pytest.importorskip("sounddevice")
    given: list[dict[str, object]] = []

    class Device:
        samplerate, read_available = 100.0, 3

        def __init__(self, _: float, **options: object) -> None:
            given.append(options)
            self.time, self.reads = 0.0, 0

        def start(self) -> None:
            pass

        def read(self, rows: int) -> tuple[np.ndarray, bool]:
            self.reads += 1
            self.time += 1.0 if self.reads == 2 else rows / self.samplerate
            return np.zeros((rows, 1), np.float32), self.reads == 2

        def abort(self) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setattr(sounddevice, "InputStream", Device)
    notes: list[str] = []
    source = Microphone("", 100.0, note=lambda _, text: notes.append(text))
    blocks = source.blocks(10)

    assert [next(blocks).at for _ in range(3)] == [0, 97, 107]  # 110 samples were heard, 20 read, 3 wait
    assert notes == ["mic: about 87 samples were lost before they were read"]
    assert "callback" not in given[0]
