"""Options of `tidegate bench`: each is refused with what it has no effect on."""

import pytest
from tidegate.commands._bench_options import APPLY
from tools.commands import Command, assert_wrong_usage

VALUES = {"--suite": "cells", "--processes": "2", "--seconds": "1", "--chunk": "2"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "option", ["--peers", "--rate", "--hop", "--inject-stall", "--processes", "--chunk", "--steps"]
)
def test_an_option_without_effect_is_refused(option: str, tide: Command) -> None:
    name = option.removeprefix("--").replace("-", "_")

    outcome = tide("bench", "--compare", "a.json", "b.json", option, VALUES.get(option, "1"))

    assert_wrong_usage(outcome, f"{option} has no effect with --compare; it is for {', '.join(APPLY[name])}")


def test_each_option_of_the_list_is_one_of_the_command() -> None:
    from tidegate.cli import app
    from typer.main import get_command

    command = get_command(app).commands["bench"]  # type: ignore[attr-defined]
    assert set(APPLY) <= {parameter.name for parameter in command.params}
