"""PyTorch on one thread: eager in float32, and int8 by `quantize_dynamic`."""

import copy
import warnings
from typing import Any

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("torch",)
VARIANTS = (Variant("float32", "eager"), Variant("int8", "quantize_dynamic"))


def load(job: Job, variant: Variant) -> Step:
    """Return a step function that calls the module and passes the state on."""
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
    # quantize_dynamic returns a recurrent module unchanged, in float, unless it is inside another module.
    return dynamic_int8(nn.Sequential(module))[0]


def dynamic_int8(module: Any) -> Any:  # noqa: ANN401  torch is not imported here
    """Return a copy of a float module with its recurrent and linear layers in torch's dynamic int8.

    Raises:
        CannotRunError: A recurrent layer stayed float.
    """
    import torch
    from torch import nn

    torch.backends.quantized.engine = "x86"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, but its successor has no recurrent layers
        quantize: Any = torch.ao.quantization.quantize_dynamic
        made = quantize(copy.deepcopy(module), {nn.LSTM, nn.GRU, nn.Linear}, dtype=torch.qint8)
    left = [type(child).__name__ for child in made.modules() if isinstance(child, nn.RNNBase)]
    if left:
        raise CannotRunError(f"quantize_dynamic left {', '.join(left)} in float: it knows LSTM and GRU")
    return made


def _zeros(job: Job) -> Any:  # noqa: ANN401  torch is not imported here
    import torch

    stack = job.stack
    assert stack is not None  # noqa: S101  it has weights
    zeros = torch.zeros(stack.layers, 1, stack.hidden)
    return (zeros, zeros.clone()) if stack.cell == "LSTM" else zeros
