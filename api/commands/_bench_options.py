"""Which options of `tidegate bench` apply to a file, to each suite, and to `compare`. Any other option is refused."""

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
    """Refuse options that have no effect.

    Args:
        context: The context of the command, which knows the options that were given.
        what: What is measured: `FILE`, `compare`, or the name of a suite.

    Raises:
        typer.BadParameter: An option that has no effect was given.
    """
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name, kinds in APPLY.items():
        source = context.get_parameter_source(name)
        if what not in kinds and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"{options[name]} has no effect with {what}; it is for {', '.join(kinds)}")
