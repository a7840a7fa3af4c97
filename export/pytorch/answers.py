"""The answers of a module, with the names and shapes of its file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...runtime.arrays import Array
from ...runtime.contract import Contract

if TYPE_CHECKING:
    from .module import Subject  # torch is an extra, and takes 2 s to import

Original = Callable[[Array], dict[str, Array]]
InChunks = Callable[[Sequence[Array]], Iterator[dict[str, Array]]]


def whole_answers(subject: "Subject", contract: Contract, names: dict[str, str]) -> Original:
    """Return a function that gives the module's answers, with the names and state shapes of the file."""
    shapes = {state.output: state for state in contract.states}
    axis = contract.inputs[0].batch_axis

    def answers(x: Array) -> dict[str, Array]:
        batch = 1 if axis is None else x.shape[axis]
        found = {names[name]: value for name, value in subject.answers(x).items()}
        return {
            name: value.reshape(shapes[name].concrete_shape(batch)) if name in shapes else value
            for name, value in found.items()
        }

    return answers


def answers_in_chunks(subject: "Subject", names: Mapping[str, str], feeds: Mapping[str, str]) -> InChunks:
    """Return a function that gives the module's answers to chunks; it passes the returned states in again.

    Args:
        subject: The module.
        names: The module's outputs that are not states, and their names in the file.
        feeds: For each state argument, the output with its next value.
    """

    def answers(chunks: Sequence[Array]) -> Iterator[dict[str, Array]]:
        states: dict[str, Array] | None = None
        for chunk in chunks:
            found = subject.answers(chunk, states)
            states = {argument: found[name] for argument, name in feeds.items()}
            yield {new: found[name] for name, new in names.items()}

    return answers
