"""OpenVINO on one thread and one stream, with states inside the model (ReadValue, Assign); float32 and NNCF's int8."""

from pathlib import Path
from typing import Any

import numpy as np

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("openvino",)
TOOLS = ("openvino", "nncf")
VARIANTS = (Variant("float32", "stateful"), Variant("int8", "stateful"), Variant("int8 weights", "stateful"))
CALIBRATION = 300  # chunks for the calibration of int8


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the paths of the model's two files."""
    path = job.made(f"openvino.{job.steps}.{variant.precision.replace(' ', '-')}.xml")
    return [path, path.with_suffix(".bin")]


def prepare(job: Job, variant: Variant) -> None:
    """Fix the shapes, quantize, and move the states into the model."""
    import openvino
    from openvino._offline_transformations import apply_make_stateful_transformation

    model = openvino.Core().read_model(str(job.model))
    contract = job.contract
    model.reshape(_shapes(job, contract))
    if variant.precision == "int8":
        model = _quantized(model, job, contract)
    elif variant.precision == "int8 weights":
        import nncf

        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    if variant.precision != "float32":
        _refuse_floats(model)
    apply_make_stateful_transformation(model, {s["input"]: s["output"] for s in contract["states"]})
    openvino.save_model(model, str(files(job, variant)[0]), compress_to_fp16=False)


def load(job: Job, variant: Variant) -> Step:
    """Return a step function whose input and answer are in fixed buffers."""
    import openvino

    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": "1"}
    options |= {"ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(files(job, variant)[0]), "CPU", options)
    request = compiled.create_infer_request()
    request.reset_state()
    frames = np.zeros(list(compiled.inputs[0].shape), np.float32)
    answer = np.zeros(list(compiled.outputs[0].shape), np.float32)
    tensors = openvino.Tensor(frames, shared_memory=True), openvino.Tensor(answer, shared_memory=True)
    request.set_input_tensor(0, tensors[0])
    request.set_output_tensor(0, tensors[1])
    flat, start, wait = frames.reshape(-1), request.start_async, request.wait

    def step(chunk: Floats, _alive: object = (compiled, request, tensors)) -> Floats:
        flat[...] = chunk.reshape(-1)
        start()  # a little faster than infer(), which builds a dict of results
        wait()
        return answer

    return step


def _refuse_floats(model: Any) -> None:  # noqa: ANN401  no types
    """Refuse a model whose weights are mostly float: NNCF skips operators that it does not know, without a warning."""
    sizes = {True: 0, False: 0}
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            sizes[node.get_element_type().size == 1] += int(np.prod(node.get_output_shape(0)))
    if sizes[True] < sizes[False]:
        raise CannotRunError(f"NNCF left {sizes[False]} of {sum(sizes.values())} constants in float32")


def _shapes(job: Job, contract: dict[str, Any]) -> dict[str, list[int]]:
    port = contract["inputs"][0]
    chunk = job.chunks()[0]
    signal = list(chunk.shape if port["batch_axis"] is None else np.expand_dims(chunk, port["batch_axis"]).shape)
    states = {s["input"]: [n if n != "batch" else 1 for n in s["shape"]] for s in contract["states"]}
    return {port["name"]: signal} | states


def _quantized(model: Any, job: Job, contract: dict[str, Any]) -> Any:  # noqa: ANN401  no types
    """Return the model quantized to int8, calibrated on chunks with the states that the float model has for them."""
    import logging

    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    shapes = _shapes(job, contract)
    signal = contract["inputs"][0]["name"]
    request = openvino.Core().compile_model(model, "CPU").create_infer_request()
    states = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if name != signal}
    items = []
    for chunk in job.chunks()[:CALIBRATION]:
        items.append(states | {signal: chunk.reshape(shapes[signal])})
        answers = request.infer(items[-1])
        states = {s["input"]: np.array(answers[s["output"]]) for s in contract["states"]}
    return nncf.quantize(model, nncf.Dataset(items), subset_size=len(items), preset=nncf.QuantizationPreset.MIXED)
