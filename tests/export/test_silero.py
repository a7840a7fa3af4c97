"""Silero VAD's file from PyPI: an LSTM inside If nodes, a state input, and samples that its caller had to keep."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import tidegate
from tidegate.export import LiftReport, lift
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Port, State
from tidegate.runtime.errors import ContractError, UnsupportedError
from tidegate.runtime.load import Backend
from tools.shared import shared_folder

FRAME, CONTEXT, RATE = 512, 64, 16000
AUC = {"clean": 0.98837, "noisy": 0.95657}  # of the fp32 model, in the data's README


def silero(name: str = "silero_vad") -> Path:
    """Return a file of the package without importing it, because the import needs torchaudio."""
    spec = find_spec("silero_vad")
    assert spec is not None, "pip install --no-deps silero-vad"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "data" / f"{name}.onnx"


@pytest.fixture(scope="module")
def lifted(tmp_path_factory: pytest.TempPathFactory) -> LiftReport:
    """Return the lifted file, for 16 kHz."""
    target = tmp_path_factory.mktemp("silero") / "vad.onnx"
    return lift(silero(), target, values={"sr": RATE}, frame=FRAME, context=CONTEXT, sample_rate=RATE, hop=FRAME)


def test_its_state_and_its_context_are_carried(lifted: LiftReport) -> None:
    contract = lifted.contract
    assert contract.inputs == (Port("input", 0, None),)
    assert contract.outputs == (Port("output", 0, None),)
    assert contract.states == (
        State("input.context_in", "input.context_out", "tail", (1, 64)),
        State("state", "stateN", "state", (2, 1, 128)),
    )
    assert contract.frame_seconds == 0.032
    print(f"error {lifted.error:.1e}")
    # On the engine, too, whose sigmoid and tanh are its own. It is the error of the frame nearest to its limit, and
    # limits follow the rounding of the file's weights: another frame is nearest since all weights are initializers.
    assert lifted.error <= 2e-5
    assert not [node for node in onnx.load(lifted.path).graph.node if node.op_type in ("If", "Equal", "Shape")]


def test_it_streams_what_its_own_caller_gets(lifted: LiftReport) -> None:
    """The lifted file equals the loop of silero-vad's utils_vad.OnnxWrapper, which keeps state and context itself."""
    x = np.random.default_rng(0).uniform(-0.3, 0.3, (40, FRAME)).astype(np.float32)
    session = onnxruntime.InferenceSession(silero(), providers=["CPUExecutionProvider"])
    state, context, wanted = np.zeros((2, 1, 128), np.float32), np.zeros((1, CONTEXT), np.float32), []
    for frame in x:
        samples = np.concatenate([context, frame[None]], 1)
        answer, state = session.run(None, {"input": samples, "state": state, "sr": np.array(RATE)})
        context = samples[:, -CONTEXT:]
        wanted.append(answer[0])
    for backend, tolerance in (("onnxruntime", 1e-6), ("native", 2e-6)):
        seen = _streamed(lifted.path, backend, x)  # type: ignore[arg-type]
        print(f"{backend}: {np.abs(seen - np.ravel(wanted)).max():.1e}")
        np.testing.assert_allclose(seen, np.ravel(wanted), atol=tolerance)


@pytest.mark.parametrize("sound", ["clean", "noisy"])
def test_auc_on_recordings_is_that_of_the_model(lifted: LiftReport, tmp_path: Path, sound: str) -> None:
    signals, labels = _recordings(sound)
    tidegate.quantize(lifted.path, tmp_path / "vad.int8.onnx")
    # The int8 file differs in digital silence in the clean mixes, because there it has only the noise of its codes.
    for path, backend, tolerance in (
        (lifted.path, "onnxruntime", 1e-5),
        (lifted.path, "native", 1e-5),
        (tmp_path / "vad.int8.onnx", "native", 3e-3),
    ):
        scores = np.concatenate([_streamed(path, backend, x, 50) for x in signals])  # type: ignore[arg-type]
        seen = _auc(scores, labels)
        print(f"{sound}, {path.name}, {backend}: AUC {seen:.5f} over {len(scores)} frames")
        assert seen == pytest.approx(AUC[sound], abs=tolerance)


def test_at_8_khz_the_other_branch_is_taken(tmp_path: Path) -> None:
    report = lift(silero(), tmp_path / "vad.onnx", values={"sr": 8000}, frame=256, context=32)
    assert report.contract.states[0].shape == (1, 32)
    x = np.random.default_rng(0).uniform(-0.3, 0.3, (40, 256)).astype(np.float32)
    np.testing.assert_allclose(_streamed(report.path, "native", x), _streamed(report.path, "onnxruntime", x), atol=2e-6)


@pytest.mark.parametrize("name", ["silero_vad_16k_op15", "silero_vad_openvino_16k", "silero_vad_16k_sequence"])
def test_its_other_files(tmp_path: Path, name: str) -> None:
    """Other files: with If nodes on the rate, without If and of fixed sizes, with many frames and separate h and c."""
    options = {"values": {"sr": RATE}, "frame": FRAME} if name.endswith("op15") else {}
    report = lift(silero(name), tmp_path / "vad.onnx", context=CONTEXT, **options)  # type: ignore[arg-type]
    states = [(state.input, state.output) for state in report.contract.states[1:]]
    assert states == ([("h", "hn"), ("c", "cn")] if name.endswith("sequence") else [("state", "stateN")])
    x = np.random.default_rng(0).uniform(-0.3, 0.3, (40, FRAME)).astype(np.float32)
    np.testing.assert_allclose(_streamed(report.path, "native", x), _streamed(report.path, "onnxruntime", x), atol=2e-6)


def test_failure_22_it_says_what_its_caller_has_to_know(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"Silero VAD at 16 kHz: --frame 512 --context 64"):
        lift(silero(), tmp_path / "vad.onnx", values={"sr": RATE})
    with pytest.raises(
        UnsupportedError, match=r"If 'If_0': its condition .* as a sample rate is, set it \(--set sr=VALUE\)"
    ):
        lift(silero(), tmp_path / "vad.onnx", frame=FRAME, context=CONTEXT)
    assert not (tmp_path / "vad.onnx").exists()


def _streamed(path: Path, backend: Backend, x: Array, chunk: int = 7) -> Array:
    stream = tidegate.load(path, backend).stream()
    answers = [stream.push(x[i : i + chunk]) for i in range(0, len(x), chunk)]
    return np.concatenate([np.ravel(answer) for answer in answers])


def _recordings(sound: str) -> tuple[list[Array], Array]:
    """Return the frames of each test mix, and the labels: each frame has the label of the 10 ms at its centre."""
    folder = shared_folder("vad")
    names = [mix["file"] for mix in json.loads((folder / "mixes.json").read_text()) if mix["split"] == "test"]
    every_10_ms = np.load(folder / "labels_10ms.npz")
    signals, labels = [], []
    for name in names:
        samples, rate = soundfile.read(folder / f"{name}_{sound}.flac", dtype="float32")
        assert rate == RATE
        frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
        centres = (np.arange(len(frames)) * FRAME + FRAME // 2) // (RATE // 100)
        signals.append(frames)
        labels.append(every_10_ms[name][centres])
    return signals, np.concatenate(labels)


def _auc(scores: Array, labels: Array) -> float:
    """Return the area under the ROC curve: the share of pairs in which speech scores above silence; ties count half."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    speech = int(labels.sum())
    return float((ranks[labels == 1].sum() - speech * (speech + 1) / 2) / (speech * (len(labels) - speech)))
