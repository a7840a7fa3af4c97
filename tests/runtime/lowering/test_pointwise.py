"""Functions per feature: a bias joins its product, and divisions by zero are refused."""

import numpy as np
import pytest
from tidegate.runtime.errors import ModelError, UnsupportedError
from tidegate.runtime.program import Linear
from tools.drafts import HIDDEN, Build, Draft, of_frame, part, refuses


def of_constant(op: str, values: object, left: bool = False) -> Build:
    """An elementwise operation with a constant."""

    def build(d: Draft, y: str) -> str:
        pair = [y, d.tensor(values)]
        return d.add(op, *(pair[::-1] if left else pair))

    return of_frame(build)


def product_as_output(d: Draft) -> None:
    """A product is an answer and the input of an Add: so the Add keeps its bias."""
    y = d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1))
    d.answer(y)
    d.answer(d.add("Add", y, d.tensor(d.random(3))))


def product_under_another_name(d: Draft) -> None:
    """A product has a second reader that an Identity hides."""
    y = d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1))
    d.answer(d.add("Add", d.add("Identity", y), d.tensor(d.random(3))))
    d.answer(d.add("Mul", y, d.tensor(2.0)))


def product_of_sizes(*axes: int) -> Build:
    """A Reshape to a product of the sizes of two axes."""

    def build(d: Draft) -> None:
        y = d.layer("x")
        sizes = [d.gather(d.add("Shape", y), [axis]) for axis in axes]
        d.answer(d.add("Reshape", y, d.add("Concat", d.add("Mul", *sizes), d.tensor([-1], np.int64), axis=0)))

    return build


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "time times features": (product_of_sizes(0, 2), UnsupportedError, "it computes with a size that a push decides"),
    "time times time": (part(product_of_sizes(0, 0)), UnsupportedError, "it computes with a size that a push decides"),
    "division by zero": (of_constant("Div", [1.0] * (HIDDEN - 1) + [0.0]), UnsupportedError, "it divides by zero"),
    "division by a tiny value": (of_constant("Div", 1e-30), UnsupportedError, "it divides by zero"),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])


@pytest.mark.parametrize("build", [product_as_output, product_under_another_name])
def test_bias_is_not_taken_up_by_a_product_that_others_read(build: Build) -> None:
    d = Draft()
    build(d)
    linear = next(op for op in d.program().ops if isinstance(op, Linear))
    assert not np.any(linear.bias)
