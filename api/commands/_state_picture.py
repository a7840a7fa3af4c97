"""Draws how a model carries its states: solid arrows inside a push, dashed lines from one push to the next.

The picture has a row for each recurrent layer, and for each state that is not of a recurrent layer. At the left of the
row is the state before the push, at the right the state after it. A dashed loop leads from the right to the left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.commands._output import size
from tidegate.runtime.errors import BackendError
from tidegate.runtime.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from tidegate.runtime.contract import State
    from tidegate.runtime.inspection import Inspection, RecurrentLayer

WIDTH, ROW = 11.0, 1.75  # inches: width of the picture, height of a row
LEFT, MIDDLE, RIGHT = 1.9, 5.5, 9.1  # centres of the columns
BOX = {"state": 2.9, "layer": 2.9}  # widths of the boxes
LAST = 0.45  # centre of the outputs' box above the lower edge
LONGEST = 36  # letters of a name; a longer name is cut
WAY = {"arrowstyle": "-|>", "lw": 1.5, "color": "black", "shrinkA": 0, "shrinkB": 0}
KINDS = {"tail": "frames kept for the next push", "state": "states of several layers"}


@dataclass(frozen=True)
class _PictureRow:
    """The texts of a row.

    Attributes:
        starts: Lines of the left box: the states before the push.
        layer: Lines of the middle box: the layer, or the kind of the state.
        leaves: Lines of the right box: the states after the push; empty if no state is carried.
    """

    starts: tuple[str, ...]
    layer: tuple[str, ...]
    leaves: tuple[str, ...]


def draw(facts: "Inspection") -> "Figure":
    """Return the picture of a model.

    Args:
        facts: What the model file holds.

    Raises:
        BackendError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot, which has global state
    except ImportError:
        raise BackendError("matplotlib is not installed; a picture needs it: pip install matplotlib") from None

    rows = _rows(facts)
    height = ROW * len(rows) + 3.1
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    for line, text in enumerate(_heading(facts)):
        weight = "bold" if line == 0 else "normal"
        axes.text(0.45, height - 0.4 - 0.27 * line, text, size=12 if line == 0 else 9.5, weight=weight, va="center")
    above = _box(axes, MIDDLE, height - 1.4, _port_lines(facts, "input"), width=4.2, bold=True)
    for place, row in enumerate(rows):
        above = _row(axes, row, height - 2.4 - ROW * place, above)
    _box(axes, MIDDLE, LAST, _port_lines(facts, "output"), width=4.2, bold=True, above=above)
    return figure


def save(facts: "Inspection", path: Path) -> None:
    """Write the picture as SVG or PNG, by the ending of the file's name. In SVG, text stays text."""
    figure, data, form = draw(facts), BytesIO(), path.suffix[1:].lower()
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tidegate"}):  # the same file at every run
        figure.savefig(data, format=form, dpi=110, metadata={"Date": None} if form == "svg" else None)
    write_atomic(path, data.getvalue())


# ---- the texts ----


def _heading(facts: "Inspection") -> list[str]:
    step = facts.contract.frame_seconds if facts.contract else None
    rate = "" if step is None else f", a frame every {step * 1e3:g} ms"
    return [
        f"{_short(facts.path, 80)}, {size(facts.bytes)}{rate}",
        f"runs on {facts.backend or 'nothing'}",
        _short(f"not on the engine: {facts.refusal}", 150) if facts.refusal else "",
    ]


def _rows(facts: "Inspection") -> list[_PictureRow]:
    """Return the rows: first the states that are not of a recurrent layer, then the layers in the file's order."""
    states = {state.input: state for state in facts.contract.states} if facts.contract else {}
    started = {place.partition("[")[0] for layer in facts.layers for place in layer.states}
    others = [_other_row(state) for name, state in states.items() if name not in started]
    return [*others, *(_layer_row(layer, states) for layer in facts.layers)]


def _other_row(state: "State") -> _PictureRow:
    shape = " x ".join(map(str, state.shape))
    return _PictureRow((state.input, shape), (KINDS.get(state.kind, state.kind),), (state.output, shape))


def _layer_row(layer: "RecurrentLayer", states: "dict[str, State]") -> _PictureRow:
    cell = layer.cell if layer.direction == "forward" else f"{layer.cell}, {layer.direction}"
    products = "" if layer.multiply_adds is None else f", {layer.multiply_adds:,} products per step"
    features = "?" if layer.features is None else str(layer.features)
    text = (layer.name, f"{cell} {features} to {layer.hidden}, {_bits(layer)}", f"{size(layer.bytes)}{products}")
    known = [(place, states.get(place.partition("[")[0])) for place in layer.states]
    if not any(state for _, state in known):
        return _PictureRow(("zeros at each push:", "no state is carried"), text, ())
    named = [(letter, place, state) for letter, (place, state) in zip("hc", known, strict=False) if state]
    starts = tuple(f"{letter}: {place}" for letter, place, _ in named)
    leaves = tuple(f"{letter}: {state.output}{place.removeprefix(state.input)}" for letter, place, state in named)
    return _PictureRow(starts, text, leaves)


def _bits(layer: "RecurrentLayer") -> str:
    if layer.weight_bits is None:
        return "weights that vary"
    bits = sorted(set(layer.weight_bits))
    return " and ".join("float32" if width == 32 else f"{width}-bit weights" for width in bits)


def _short(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else f"...{name[3 - longest :]}"


# ---- the drawing ----


def _port_lines(facts: "Inspection", what: str) -> tuple[str, ...]:
    """Return the lines of the box of the inputs or of the outputs."""
    if facts.contract is None:
        return (what, "no contract: lift or export the file")
    ports = facts.contract.inputs if what == "input" else facts.contract.outputs
    names = ", ".join(repr(port.name) for port in ports)
    shape = f", frames of {facts.features}" if what == "input" and facts.features else ""
    when = "" if ports[0].time_axis is not None else ", one answer per push"
    return (f"{what} {names}{shape}{when}",)


def _row(axes: "Axes", row: _PictureRow, centre: float, above: float) -> float:
    """Draw a row and its loop; return the lower edge of the layer's box."""
    end = _box(axes, MIDDLE, centre, row.layer, width=BOX["layer"], bold=True, above=above)
    _box(axes, LEFT, centre, row.starts, width=BOX["state"], dashed=True)
    edge, state = BOX["layer"] / 2, BOX["state"] / 2
    axes.annotate("", (MIDDLE - edge, centre), (LEFT + state, centre), arrowprops=WAY)
    if not row.leaves:
        return end
    _box(axes, RIGHT, centre, row.leaves, width=BOX["state"], dashed=True)
    axes.annotate("", (RIGHT - state, centre), (MIDDLE + edge, centre), arrowprops=WAY)
    low = centre - 0.83
    axes.plot([RIGHT, RIGHT, LEFT], [centre - 0.3, low, low], ls=(0, (4, 3)), lw=1.4, color="black", zorder=0)
    loop = {**WAY, "ls": (0, (4, 3))}
    axes.annotate("", (LEFT, centre - 0.36), (LEFT, low), arrowprops=loop)
    note = {"facecolor": "white", "edgecolor": "none", "pad": 2.0}
    axes.text(RIGHT - 1.55, low, "to the next push", size=8.5, style="italic", ha="center", va="center", bbox=note)
    return end


def _box(
    axes: "Axes",
    x: float,
    y: float,
    lines: Sequence[str],
    *,
    width: float,
    bold: bool = False,
    dashed: bool = False,
    above: float | None = None,
) -> float:
    """Draw a box of text lines and return its lower edge.

    Args:
        axes: Where to draw.
        x: The centre of the box.
        y: The centre of the box.
        lines: The lines of text.
        width: The width of the box.
        bold: Whether the frame is thick and the first line bold, as for layers.
        dashed: Whether the frame is dashed and round, as for states.
        above: The lower edge of the box above, from which an arrow is drawn; None draws no arrow.
    """
    from matplotlib.patches import FancyBboxPatch

    height = 0.22 * len(lines) + 0.26
    style, line = ("round,pad=0,rounding_size=0.16", "--") if dashed else ("square,pad=0", "-")
    corner, thick = (x - width / 2, y - height / 2), 1.8 if bold else 1.1
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, ls=line, lw=thick, facecolor="white", edgecolor="black")
    )
    for place, text in enumerate(lines):
        at, first = y + 0.22 * ((len(lines) - 1) / 2 - place), bold and place == 0
        name = _short(text, 60 if width > 4 else LONGEST)
        axes.text(x, at, name, size=9 if first else 8.5, weight="bold" if first else "normal", ha="center", va="center")
    if above is not None:
        axes.annotate("", (x, y + height / 2), (x, above), arrowprops=WAY)
    return y - height / 2
