"""ExecuTorch with XNNPACK: the cell unrolled into Linear layers; float32, and 8-bit dynamic (PT2E).

An `nn.LSTM` as it is takes longer: its decomposition is not handed to XNNPACK whole.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("executorch",)
VARIANTS = (Variant("float32", "forward"), Variant("int8", "forward"))
MOST_CELLS = 64  # a longer unrolled graph takes minutes to lower


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the program."""
    return [job.made(f"executorch.{job.steps}.{variant.precision}.pte")]


def prepare(job: Job, variant: Variant) -> None:
    """Export and lower the unrolled cells."""
    layers = job.weights("LSTM")
    if job.steps * len(layers) > MOST_CELLS:
        raise CannotRunError(f"{job.steps} frames of {len(layers)} layers unrolled are more than {MOST_CELLS} cells")
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
        XnnpackDynamicallyQuantizedPartitioner,
        XnnpackPartitioner,
    )
    from executorch.exir import to_edge_transform_and_lower

    module = _unrolled(torch, layers, job.steps)
    example = (torch.randn(job.steps, 1, layers[0][0].shape[1]), *_zeros(torch, layers))
    program, partitioners = torch.export.export(module, example), [XnnpackPartitioner()]
    if variant.precision == "int8":
        program, partitioners = (
            _quantized(torch, program, example),
            [XnnpackDynamicallyQuantizedPartitioner(), *partitioners],
        )
    lowered = to_edge_transform_and_lower(program, partitioner=partitioners)
    files(job, variant)[0].write_bytes(lowered.to_executorch().buffer)


def load(job: Job, variant: Variant) -> Step:
    """Return a stepper that hands states on."""
    import executorch.extension.pybindings.portable_lib as library
    import torch

    for name in ("_unsafe_reset_threadpool", "_reset_threadpool"):
        if hasattr(library, name):
            getattr(library, name)(1)
    torch.set_num_threads(1)
    module = library._load_for_executorch(str(files(job, variant)[0]))  # noqa: SLF001  its public loader adds a layer
    states = _zeros(torch, job.weights("LSTM"))

    def step(chunk: Floats) -> Floats:
        nonlocal states
        with torch.inference_mode():
            answer, *fresh = module.forward([torch.from_numpy(chunk[:, None]), *states])
            states = [state.clone() for state in fresh]
            found: Floats = answer.numpy()
            return found

    return step


def _zeros(torch: Any, layers: list[tuple[Floats, Floats, Floats, Floats]]) -> list[Any]:  # noqa: ANN401  a module
    return [torch.zeros(1, layers[0][1].shape[1]) for _ in range(2 * len(layers))]


def _unrolled(torch: Any, layers: list[tuple[Floats, Floats, Floats, Floats]], frames: int) -> Any:  # noqa: ANN401
    """Return the stack as a module of Linear layers, `frames` steps written out."""

    class Unrolled(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linears = torch.nn.ModuleList()
            for w, r, bias_w, bias_r in layers:
                self.linears.append(_linear(torch, w, bias_w + bias_r))
                self.linears.append(_linear(torch, r, None))

        def forward(self, x: Any, *states: Any) -> Any:  # noqa: ANN401
            finals: list[Any] = []
            sequence = [x[t] for t in range(frames)]
            for n in range(len(layers)):
                h, c = states[2 * n : 2 * n + 2]
                following = []
                for frame in sequence:
                    gates = self.linears[2 * n](frame) + self.linears[2 * n + 1](h)
                    i, f, g, o = torch.chunk(gates, 4, 1)
                    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                    h = torch.sigmoid(o) * torch.tanh(c)
                    following.append(h)
                sequence, finals = following, [*finals, h, c]
            return (torch.stack(sequence), *finals)

    return Unrolled().eval()


def _linear(torch: Any, weight: Floats, bias: Floats | None) -> Any:  # noqa: ANN401  a module
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight.data = torch.from_numpy(weight)
    if bias is not None:
        linear.bias.data = torch.from_numpy(bias)
    return linear


def _quantized(torch: Any, program: Any, example: tuple[Any, ...]) -> Any:  # noqa: ANN401  a module
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    prepared = prepare_pt2e(program.module(), XNNPACKQuantizer().set_global(config))
    prepared(*example)
    return torch.export.export(convert_pt2e(prepared), example)
