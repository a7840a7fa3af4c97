"""The suite of families: nets of equal size, states that stay, a cache that grows and equals attention."""

from typing import Any

import numpy as np
import numpy.typing as npt
from tidegate.benchmarks.suites import families

Values = npt.NDArray[Any]


def test_nets_have_equal_parameters() -> None:
    found = {cost.name: cost.parameters for cost in families.costs(10, 1)}

    assert len(found) == 7
    for parameters in found.values():
        assert abs(parameters / families.PARAMETERS - 1) < 0.06


def test_a_recurrent_state_stays_and_a_cache_grows() -> None:
    costs = families.costs(100, 1)
    kept = {(cost.name, cost.position): cost.kept_bytes for cost in costs}

    assert kept["LSTM, tidegate W8A16", 10] == kept["LSTM, tidegate W8A16", 100]
    assert kept["Transformer, onnxruntime float32", 100] == 10 * kept["Transformer, onnxruntime float32", 10]
    times, sizes = families.cost_tables(costs)
    assert times.columns[2:] == sizes.columns[2:] == ["10", "100"]
    assert len(times.rows) == 7


def test_the_cache_gives_what_attention_over_all_gives() -> None:
    """Steps with a cache are compared with causal attention over the whole stream in float64."""
    from onnx import numpy_helper
    from tidegate.runtime.backends.onnxruntime_session import open_session

    width, frames = 16, np.random.default_rng(1).standard_normal((7, families.FEATURES)).astype(np.float32)
    model = families.transformer(width)
    session, depth = open_session(model.SerializeToString()), width // families.HEADS
    caches = {i.name: np.zeros((families.HEADS, 0, depth), np.float32) for i in session.get_inputs()[1:]}
    answers = []
    for frame in frames:
        answer, *present = session.run(None, {"x": frame[None], **caches})
        caches = dict(zip(caches, present, strict=True))
        answers.append(answer[0])

    weights = iter(numpy_helper.to_array(one).astype(np.float64) for one in model.graph.initializer)
    wanted = causal(frames, [one for one in weights if one.ndim == 2], depth)
    np.testing.assert_allclose(answers, wanted, rtol=1e-5, atol=1e-5)


def causal(frames: Values, matrices: list[Values], depth: int) -> Values:
    """Return the answers of pre-norm blocks to a whole stream; `matrices` has the graph's order."""
    start, *rest = matrices
    x = frames @ start
    for _ in range(families.LAYERS):
        q, k, v, out, up, down = (rest.pop(0) for _ in range(6))
        x = x + attention(norm(x), (q, k, v), depth) @ out
        x = x + np.maximum(norm(x) @ up, 0) @ down
    return x


def norm(x: Values) -> Values:
    """Return frames normalized to mean 0 and variance 1."""
    normal: Values = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    return normal


def attention(x: Values, matrices: tuple[Values, ...], depth: int) -> Values:
    """Return causal attention: for each frame, the values of the frames up to it, mixed head by head."""
    q, k, v = ((x @ m).reshape(len(x), -1, depth).transpose(1, 0, 2) for m in matrices)
    scores = q @ k.transpose(0, 2, 1) * depth**-0.5
    scores[:, ~np.tri(len(x), dtype=bool)] = -np.inf
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed: Values = (shares / shares.sum(-1, keepdims=True)) @ v
    return mixed.transpose(1, 0, 2).reshape(len(x), -1)
