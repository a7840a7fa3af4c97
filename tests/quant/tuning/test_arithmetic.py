"""The engine's arithmetic in torch: the same bits as the specification."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from tidegate.quant.rounding.nearest import to_nearest  # noqa: E402  torch is an extra
from tidegate.quant.rounding.precision import Precision  # noqa: E402
from tidegate.quant.tuning import arithmetic  # noqa: E402
from tidegate.quant.tuning.arithmetic import Format, encode, product, rounded, without_tiny  # noqa: E402
from tidegate.runtime.operators.matrix import Matrix, Reading  # noqa: E402
from tidegate.runtime.operators.matrix import encode as specified_encode  # noqa: E402
from tidegate.runtime.operators.matrix import product as specified_product  # noqa: E402
from tidegate.runtime.operators.numbers import functions  # noqa: E402

READINGS = (Reading.FRAME, Reading.HIDDEN)


@given(st.integers(0, 2**31), st.sampled_from([4, 8, 16]), st.sampled_from([0, 8, 32]), st.sampled_from([8, 16]))
@settings(max_examples=40)
def test_rounding_codes_and_products_are_those_of_the_specification(
    seed: int, bits: int, group: int, read: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = (rng.normal(0, 1, (6, 33)) * 2.0 ** rng.uniform(-20, 10)).astype(np.float32)
    weights[0] = 0
    x = (rng.normal(0, 1, (4, 33)) * 2.0 ** rng.uniform(-70, 40, (4, 1))).astype(np.float32)
    exact = to_nearest(weights, Precision(bits, read, group))
    for reading in READINGS:
        made = rounded(torch.from_numpy(weights), Format(bits, group, read, reading))
        assert np.array_equal(made.values.numpy(), exact.values.astype(np.float32))
        matrix = Matrix(exact.codes, exact.scales, reading, read, bits, group)
        codes, _ = encode(made, torch.from_numpy(x))
        np.testing.assert_array_equal(codes.numpy(), np.stack([specified_encode(matrix, frame)[0] for frame in x]))
        expected = np.stack([specified_product(matrix, frame) for frame in x])
        np.testing.assert_array_equal(product(made, torch.from_numpy(x)).numpy(), expected, strict=True)


def test_weights_too_small_for_a_file_become_zero() -> None:
    """The engine reads such weights as 0, so a channel of them has scale 1."""
    made = rounded(torch.full((2, 3), 2.0**-41), Format(8, 0, 16, Reading.FRAME))
    assert not made.values.any()
    assert made.scales.tolist() == [[1.0, 1.0]]


def test_values_of_an_h_beyond_one_saturate_if_they_are_clamped() -> None:
    made = rounded(torch.eye(3), Format(8, 0, 8, Reading.HIDDEN))
    x = torch.tensor([[0.5, 1.5, -2.0]])
    assert encode(made, x)[0].tolist() == [[64, 127, -127]]
    assert encode(made, x, clamp=False)[0].tolist() == [[64, 190, -254]]
    assert torch.equal(x, torch.tensor([[0.5, 1.5, -2.0]])), "the frames themselves are not changed"


def test_a_silent_frame_gives_zeros() -> None:
    made = rounded(torch.ones(2, 3), Format(8, 0, 16, Reading.FRAME))
    assert product(made, torch.full((1, 3), 2.0**-65)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_functions_are_those_of_the_specification(name: str) -> None:
    x = np.linspace(-20, 20, 1_000_001, dtype=np.float32)
    made = getattr(arithmetic, name)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(made, getattr(functions, name)(x), strict=True)


def test_magnitudes_below_two_to_the_minus_sixty_become_plus_zero() -> None:
    found = without_tiny(torch.tensor([2.0**-60, -(2.0**-60), 2.0**-61, -(2.0**-61), -0.0]))
    assert found.tolist() == [2.0**-60, -(2.0**-60), 0, 0, 0]
    assert not torch.signbit(found[2:]).any()
