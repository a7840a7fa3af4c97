"""PyTorch on one thread: eager, and `quantize_dynamic`."""

import warnings
from typing import Any

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("torch",)
VARIANTS = (Variant("float32", "eager"), Variant("int8", "quantize_dynamic"))


def load(job: Job, variant: Variant) -> Step:
    """Return a stepper through the module's own call, state handed on."""
    import torch

    torch.set_num_threads(1)
    module, state = _module(job, variant.precision == "int8"), _zeros(job)

    def step(chunk: Floats) -> Floats:
        nonlocal state
        with torch.inference_mode():
            answer, state = module(torch.from_numpy(chunk[:, None]), state)
            found: Floats = answer.numpy()
            return found

    return step


def _module(job: Job, quantized: bool) -> Any:  # noqa: ANN401  torch is not imported here
    import torch
    from torch import nn

    layers = job.weights("LSTM", "GRU", "RNN")
    stack = job.stack
    assert stack is not None  # noqa: S101  it has weights
    module = getattr(nn, stack.cell)(stack.features, stack.hidden, stack.layers).eval()
    keys = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {
        f"{key}_l{n}": torch.from_numpy(w) for n, layer in enumerate(layers) for key, w in zip(keys, layer, strict=True)
    }
    module.load_state_dict(weights)
    if not quantized:
        return module
    if stack.cell == "RNN":
        raise CannotRunError("quantize_dynamic knows LSTM and GRU")
    torch.backends.quantized.engine = "x86"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A bare recurrent module is returned as it is, in float: it must stand inside another.
        quantize: Any = torch.ao.quantization.quantize_dynamic
        found = quantize(nn.Sequential(module), {type(module)}, dtype=torch.qint8)[0]
    if "quantized" not in type(found).__module__:
        raise CannotRunError(f"quantize_dynamic left {stack.cell} in float")
    return found


def _zeros(job: Job) -> Any:  # noqa: ANN401  torch is not imported here
    import torch

    stack = job.stack
    assert stack is not None  # noqa: S101  it has weights
    zeros = torch.zeros(stack.layers, 1, stack.hidden)
    return (zeros, zeros.clone()) if stack.cell == "LSTM" else zeros
