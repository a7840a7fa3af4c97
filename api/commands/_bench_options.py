"""Which options of `tidegate bench` mean something for what is run: the others are refused, not ignored."""

import typer

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
    """Refuse options that do nothing.

    Args:
        context: Of the command.
        what: What is run: `FILE`, `compare`, or a suite.

    Raises:
        typer.BadParameter: One was given.
    """
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name, kinds in APPLY.items():
        source = context.get_parameter_source(name)
        if what not in kinds and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"{options[name]} does nothing with {what}; it is for {', '.join(kinds)}")
