"""The cells' equations written by hand in NumPy: the cost of a step without any runtime."""

import numpy as np

from . import unrolled
from .job import Floats, Job, Step, Variant

PACKAGES = ("numpy",)
VARIANTS = (Variant("float32", "loop"),)


def load(job: Job, _: Variant) -> Step:
    """Return a step function that loops over layers and frames."""
    layers, cell, states = unrolled.layers_of(job), unrolled.cell_of(job), unrolled.zeros(job)
    functions = unrolled.Functions(_sigmoid, np.tanh, np.split)
    products = [
        (
            lambda x, layer=layer: layer.w @ x + layer.bias_w,
            lambda h, layer=layer: layer.r @ h if layer.bias_r is None else layer.r @ h + layer.bias_r,
        )
        for layer in layers
    ]
    answers = np.zeros((job.steps, layers[-1].r.shape[1]), np.float32)

    def step(chunk: Floats) -> Floats:
        rows, states[:] = unrolled.unroll(functions, cell, list(chunk), states, products)
        answers[:] = rows
        return answers

    return step


def _sigmoid(x: Floats) -> Floats:
    one = np.float32(1)
    return one / (one + np.exp(-x))
