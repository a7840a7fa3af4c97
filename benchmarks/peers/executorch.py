"""ExecuTorch with XNNPACK: the cell unrolled into Linear layers; float32, and 8-bit dynamic (PT2E).

A plain `nn.LSTM` takes longer, because XNNPACK does not get its decomposition as a whole. Lowering takes over a second
per cell. So a program holds only a few frames, and a longer chunk is run in parts.
"""

import importlib
import logging
import warnings
from pathlib import Path
from typing import Any

from . import unrolled
from .job import Floats, Job, Step, Variant

PACKAGES = ("executorch",)
MOST_CELLS = 4  # cells of one program: layers times frames
VARIANTS = (Variant("float32", "forward"), Variant("int8", "forward"))


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the path of the lowered program."""
    return [job.made(f"executorch.{_frames(job)}.{variant.precision}.pte")]


def _frames(job: Job) -> int:
    """Return the frames of a program: the largest divisor of the chunk with at most MOST_CELLS cells, or one."""
    most = max(MOST_CELLS // len(unrolled.layers_of(job)), 1)
    return max(count for count in range(1, most + 1) if job.steps % count == 0)


def prepare(job: Job, variant: Variant) -> None:
    """Export and lower the unrolled cells, unless the program is there already."""
    if files(job, variant)[0].exists():
        return
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (
        XnnpackDynamicallyQuantizedPartitioner,
        XnnpackPartitioner,
    )
    from executorch.exir import to_edge_transform_and_lower

    module = _unrolled(torch, job)
    example = (torch.randn(_frames(job), 1, unrolled.layers_of(job)[0].w.shape[1]), *_zeros(torch, job))
    program, partitioners = torch.export.export(module, example), [XnnpackPartitioner()]
    if variant.precision == "int8":
        program, partitioners = (
            _quantized(torch, program, example),
            [XnnpackDynamicallyQuantizedPartitioner(), *partitioners],
        )
    lowered = to_edge_transform_and_lower(program, partitioner=partitioners)
    files(job, variant)[0].write_bytes(lowered.to_executorch().buffer)


def load(job: Job, variant: Variant) -> Step:
    """Return a step function that passes the states from call to call."""
    import torch  # loads libraries that the next import needs

    # portable_lib would import the exporter too, which takes 4 s.
    library = importlib.import_module("executorch.extension.pybindings._C")
    library._unsafe_reset_threadpool(1)  # noqa: SLF001  there is no public name
    torch.set_num_threads(1)
    module = library._load_for_executorch(str(files(job, variant)[0]))  # noqa: SLF001  the public loader adds overhead
    states, frames = _zeros(torch, job), _frames(job)

    def step(chunk: Floats) -> Floats:
        nonlocal states
        with torch.inference_mode():
            answers = []
            for part in torch.split(torch.from_numpy(chunk[:, None]), frames):
                answer, *fresh = module.forward([part, *states])
                states = [state.clone() for state in fresh]
                answers.append(answer.clone())
            found: Floats = torch.cat(answers).numpy()
            return found

    return step


def _zeros(torch: Any, job: Job) -> list[Any]:  # noqa: ANN401  a module
    return [torch.from_numpy(state) for state in unrolled.zeros(job, 1)]


def _unrolled(torch: Any, job: Job) -> Any:  # noqa: ANN401  a module
    """Return the stack as a module of Linear layers, with every step of a program unrolled."""
    layers, cell = unrolled.layers_of(job), unrolled.cell_of(job)
    functions = unrolled.Functions(torch.sigmoid, torch.tanh, lambda values, parts: torch.chunk(values, parts, 1))

    class Unrolled(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.linears = torch.nn.ModuleList()
            for layer in layers:
                self.linears.append(_linear(torch, layer.w, layer.bias_w))
                self.linears.append(_linear(torch, layer.r, layer.bias_r))

        def forward(self, x: Any, *states: Any) -> Any:  # noqa: ANN401
            products = list(zip(self.linears[::2], self.linears[1::2], strict=True))
            frames = [x[t] for t in range(_frames(job))]
            answers, finals = unrolled.unroll(functions, cell, frames, states, products)
            return (torch.stack(answers), *finals)

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
