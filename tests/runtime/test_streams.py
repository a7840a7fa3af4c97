"""`documented` copies the docstrings of a protocol."""

from typing import Protocol

from tidegate.runtime.streams import documented


class Door(Protocol):
    """The protocol."""

    @property
    def open(self) -> bool:
        """Whether it is open."""

    def close(self) -> None:
        """Close it."""


def test_members_of_a_class_get_the_docstrings_of_the_protocol() -> None:
    @documented(Door)
    class Own:
        """The class."""

        @property
        def open(self) -> bool:
            return True

        def close(self) -> None:
            """Say something else."""

        def paint(self) -> None:
            """Paint it."""

    assert Own.__doc__ == "The class."
    assert vars(Own)["open"].__doc__ == "Whether it is open."
    assert Own.close.__doc__ == "Close it."
    assert Own.paint.__doc__ == "Paint it."


def test_a_class_without_some_of_the_members_is_documented_too() -> None:
    @documented(Door)
    class Half:
        def close(self) -> None:
            raise NotImplementedError

    assert Half.close.__doc__ == "Close it."
    assert not hasattr(Half, "open")
