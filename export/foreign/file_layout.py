"""The layout of an opened file without its states: frames as they are, or several rows as one frame."""

from collections.abc import Sequence
from dataclasses import replace

import onnx

from ...runtime.errors import ContractError
from ...runtime.graph.graph import Graph
from ..graph.axes import shape_of
from ..graph.editing import input_named
from ..graph.recurrent_nodes import checked_nodes
from ..proof.whole_sequence import WholeSequenceError
from ..rewrites.pads import move_pads
from ..states.recurrent_states import ForeignState, unplug
from .frames_as_batch import refuse_caches
from .layout import Layout, find_layout
from .opened_rows import open_rows
from .opening import Opened


def layout_of(opened: Opened) -> tuple[Opened, onnx.ModelProto, Layout | None]:
    """Return a file, a copy without its states, and its layout; its frames are rows if strides over time need that."""
    bare, signal = _bare(opened.model, opened.roles.states), opened.roles.signal
    open_axes = [size for size in shape_of(input_named(bare, signal))[1:] if not isinstance(size, int)]
    refused, layout = None, None
    try:
        layout = _layout(bare, opened.roles.states)
    except (ContractError, WholeSequenceError) as error:
        refused = error
    rows = open_rows(opened.model, bare, signal) if refused or (layout is None and open_axes) else None
    if rows is not None:
        bare = _bare(opened.model, opened.roles.states)
        return replace(opened, rows=rows), bare, _layout(bare, opened.roles.states, time=1)
    if refused is not None:
        raise refused
    return opened, bare, layout


def _layout(bare: onnx.ModelProto, foreign: Sequence[ForeignState], time: int | None = None) -> Layout | None:
    """Return the layout of a file without its states; None if the file takes one frame per run."""
    checked_nodes(Graph(bare))
    layout = find_layout(bare, free_batch=all("batch" in known.state.shape for known in foreign), time=time)
    if layout is None:
        refuse_caches(foreign)
    return layout


def _bare(model: onnx.ModelProto, foreign: Sequence[ForeignState]) -> onnx.ModelProto:
    """Return a copy without states: its only input is the signal."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    without_states(bare, foreign)
    return bare


def without_states(model: onnx.ModelProto, foreign: Sequence[ForeignState]) -> None:
    """Take the states out of a file, in place; zeros stand for caches, in front of their convolutions."""
    unplug(model, foreign)
    move_pads(model)
