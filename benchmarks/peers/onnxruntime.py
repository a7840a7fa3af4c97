"""onnxruntime: float32, and its own int8 LSTM; `run` with a dict as people write it, and IOBinding, its best."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("onnxruntime",)
TOOLS = ("onnxruntime", "onnx")
VARIANTS = tuple(Variant(precision, how) for precision in ("float32", "int8") for how in ("IOBinding", "run"))

QUANTIZED = "onnxruntime.int8.onnx"


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the ONNX file that is run."""
    return [job.model if variant.precision == "float32" else job.made(QUANTIZED)]


def prepare(job: Job, variant: Variant) -> None:
    """Quantize by onnxruntime's `quantize_dynamic`, and see that every LSTM became int8."""
    if variant.precision == "float32" or job.made(QUANTIZED).exists():
        return
    quantize(job.model, job.made(QUANTIZED))


def quantize(source: Path, target: Path, operators: Sequence[str] = ("LSTM", "MatMul", "Gemm")) -> None:
    """Write a float model as onnxruntime's `quantize_dynamic` quantizes it, at its best on this processor.

    Raises:
        CannotRunError: There is no LSTM, or one was left in float.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kinds = [node.op_type for node in onnx.load(source).graph.node]
    if "LSTM" not in kinds:
        raise CannotRunError("no LSTM in the graph: its int8 has no other recurrent operator")
    # One scale a matrix, its default: 72 us, one a row 77 (LSTM 256 -> 512 x2); as exact on random weights.
    draft = target.with_suffix(".draft.onnx")
    options = {"weight_type": QuantType.QInt8, "reduce_range": products_saturate()}
    with _without_advice():
        quantize_dynamic(source, draft, op_types_to_quantize=list(operators), **options)
    found = [node.op_type for node in onnx.load(draft).graph.node]
    if found.count("DynamicQuantizeLSTM") != kinds.count("LSTM"):
        raise CannotRunError("its quantizer left an LSTM in float")
    draft.rename(target)


def products_saturate() -> bool:
    """Return whether onnxruntime's products of uint8 and int8 saturate here: on x86 with AVX2 and without VNNI.

    Two products are added in 16 bits there, and 255 * 127 * 2 does not fit; 255 * 64 * 2 does. So weights of 7 bits,
    `reduce_range`, are its best: LSTM 40 -> 128, rms error 8.4e-4, with 8 bits 1.8e-2 (exact products: 5.7e-4).
    """
    from onnx import parser

    model = parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        pair (uint8[1, 2] x) => (int32[1, 1] y) <int8[2, 1] w = {127, 127}> { y = MatMulInteger(x, w) }""")
    (product,) = _session(model.SerializeToString()).run(None, {"x": np.full((1, 2), 255, np.uint8)})
    return bool(product[0, 0] != 2 * 255 * 127)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantizer from advising on standard error to run its pre-processing, which changes nothing here."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def load(job: Job, variant: Variant) -> Step:
    """Return a stepper with a state of its own, from zero."""
    session, contract = _session(str(files(job, variant)[0])), job.contract
    return (_through_run if variant.how == "run" else _through_binding)(session, contract, job.chunks()[0])


def _session(model: str | bytes) -> Any:  # noqa: ANN401  no types
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _zeros(contract: dict[str, Any]) -> dict[str, Floats]:
    return {
        s["input"]: np.zeros([n if n != "batch" else 1 for n in s["shape"]], np.float32) for s in contract["states"]
    }


def _axes(contract: dict[str, Any]) -> Callable[[Floats], Floats]:
    """Return what gives a chunk `[frames, features]` the axes of the graph's input, one stream."""
    batch = contract["inputs"][0]["batch_axis"]
    return (lambda chunk: chunk) if batch is None else (lambda chunk: np.expand_dims(chunk, batch))


def _through_run(session: Any, contract: dict[str, Any], _: Floats) -> Step:  # noqa: ANN401  no types
    signal, shaped, feeds = contract["inputs"][0]["name"], _axes(contract), _zeros(contract)
    names = [port["name"] for port in contract["outputs"]] + [state["output"] for state in contract["states"]]
    carried, first = list(feeds), len(contract["outputs"])

    def step(chunk: Floats) -> Floats:
        feeds[signal] = shaped(chunk)
        results = session.run(names, feeds)
        feeds.update(zip(carried, results[first:], strict=True))
        answer: Floats = results[0]
        return answer

    return step


def _through_binding(session: Any, contract: dict[str, Any], chunk: Floats) -> Step:  # noqa: ANN401  no types
    """Bind two sets of state buffers crosswise, what one run writes the next reads: a step binds nothing."""
    signal, example = contract["inputs"][0]["name"], np.ascontiguousarray(_axes(contract)(chunk))
    answers = _answers(session, contract, {signal: example})
    frames = np.zeros_like(example)
    states = [_zeros(contract), _zeros(contract)]
    bindings = [session.io_binding() for _ in states]
    for binding, now, after in zip(bindings, states, reversed(states), strict=True):
        _bind(binding.bind_input, {signal: frames} | now)
        _bind(binding.bind_output, answers | {s["output"]: after[s["input"]] for s in contract["states"]})
    # The public run_with_iobinding only unwraps its argument; a rival gets that tenth of a microsecond too.
    run, turns = session._sess.run_with_iobinding, [binding._iobinding for binding in bindings]  # noqa: SLF001
    answer, flat, turn = answers[contract["outputs"][0]["name"]], frames.reshape(chunk.shape), 0

    def step(chunk: Floats, _alive: object = (session, bindings, states, answers)) -> Floats:
        nonlocal turn
        flat[...] = chunk
        run(turns[turn], None)
        turn = 1 - turn
        return answer

    return step


def _answers(session: Any, contract: dict[str, Any], feeds: dict[str, Floats]) -> dict[str, Floats]:  # noqa: ANN401
    names = [port["name"] for port in contract["outputs"]]
    results = session.run(names, feeds | _zeros(contract))
    return {name: np.zeros_like(result) for name, result in zip(names, results, strict=True)}


def _bind(bind: Callable[..., None], buffers: dict[str, Floats]) -> None:
    for name, buffer in buffers.items():
        bind(name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
