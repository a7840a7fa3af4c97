"""Which options of `tidegate bench` apply to a file, to each suite, and to `--compare`. Any other option is refused."""

import typer
from tidegate.commands._options import given

ROWS = ("FILE", "cells", "real")
APPLY = {
    "suite": ("cells", "real", "families", "streams"),
    **dict.fromkeys(("peers", "rate", "hop", "closed", "cold", "inject_stall", "processes", "against"), ROWS),
    **dict.fromkeys(("chunk", "source"), ("FILE",)),
    **dict.fromkeys(("cases", "steps"), ("cells",)),
    "data": ("real",),
    "seconds": (*ROWS, "streams"),
    **dict.fromkeys(("page", "pictures"), (*ROWS, "families", "streams")),
}


def refuse_unused(context: typer.Context, what: str) -> None:
    """Refuse options that have no effect.

    Args:
        context: The context of the command, which knows the options that were given.
        what: What is measured: `FILE`, `--compare`, or the name of a suite.

    Raises:
        typer.BadParameter: An option that has no effect was given.
    """
    for name, option in given(context).items():
        if name in APPLY and what not in APPLY[name]:
            raise typer.BadParameter(f"{option} has no effect with {what}; it is for {', '.join(APPLY[name])}")
