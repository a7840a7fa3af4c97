"""NumPy by hand: what a step costs whoever writes the equations down. The floor without any runtime."""

import numpy as np

from .job import Floats, Job, Step, Variant

PACKAGES = ("numpy",)
VARIANTS = (Variant("float32", "loop"),)


def load(job: Job, _: Variant) -> Step:
    """Return a loop over frames and layers."""
    layers = [(np.concatenate([w, r], 1), b + c) for w, r, b, c in job.weights("LSTM")]
    hidden = len(layers[0][1]) // 4
    states = [[np.zeros(hidden, np.float32), np.zeros(hidden, np.float32)] for _ in layers]
    answers = np.zeros((job.steps, hidden), np.float32)

    def step(chunk: Floats) -> Floats:
        for t, frame in enumerate(chunk):
            for (weights, bias), state in zip(layers, states, strict=True):
                gates = weights @ np.concatenate((frame, state[0])) + bias
                i, f, o = (_sigmoid(gates[k * hidden : (k + 1) * hidden]) for k in (0, 1, 3))
                state[1] = f * state[1] + i * np.tanh(gates[2 * hidden : 3 * hidden])
                state[0] = frame = o * np.tanh(state[1])  # noqa: PLW2901  the next layer's frame
            answers[t] = frame
        return answers

    return step


def _sigmoid(x: Floats) -> Floats:
    one = np.float32(1)
    return one / (one + np.exp(-x))
