"""Whole nets and their parts: each is a plan that streams."""

import numpy as np
import pytest
from tidegate.benchmarks.nets.whole_nets import CLASSES, FEATURES, HIDDEN, IDS, Net, nets
from tidegate.runtime.backends.native import NativeModel

NETS = nets()


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_whole_net_gives_probabilities(net: Net) -> None:
    rng = np.random.default_rng(0)
    ids = net.name.startswith("Embedding")
    frames = rng.integers(0, IDS, 20) if ids else rng.normal(0, 1, (20, FEATURES)).astype(np.float32)
    answer = np.asarray(NativeModel(net.whole).stream().push(frames))
    assert answer.shape == (20, CLASSES)
    np.testing.assert_allclose(answer.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_parts_stream_alone(net: Net) -> None:
    for plan, width in zip((*net.layers, net.others), (FEATURES, HIDDEN, HIDDEN), strict=True):
        frames = np.random.default_rng(0).normal(0, 1, (3, width)).astype(np.float32)
        assert np.all(np.isfinite(np.asarray(NativeModel(plan).stream().push(frames))))
