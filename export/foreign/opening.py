"""Opening a foreign file: its options become constants, its branches are resolved, its inputs get their roles."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from ...runtime.arrays import Array, Floats
from ...runtime.errors import ContractError
from ..graph.axes import Dims, set_dims, settled_values, shape_of, shape_text
from ..graph.constants import fold_constants, fold_neutral
from ..graph.editing import drop_identities, input_named, remove_dead
from ..graph.recurrent_nodes import explaining, name_nodes
from ..rewrites.arguments import StateKey
from ..rewrites.branches import open_branches
from ..rewrites.constant_starts import take_starts
from ..rewrites.cuts import move_cuts
from ..rewrites.directions import refuse_state_inputs, split_directions
from ..rewrites.grouped_products import write_products
from ..rewrites.pads import move_pads
from ..rewrites.rows import Rows, find_rows
from ..rewrites.transposed import write_transposed
from ..rewrites.unfolds import write_unfolds
from .bodies.rolling import roll_bodies
from .dequantized import replace_integers
from .endless_loops import refuse_endless_loops
from .fixed_inputs import FixedInput, cut_values, fix_inputs, spread_over_signal
from .fixed_sizes import follow_streams, open_sizes
from .flat_frames import unfold_frames
from .input_roles import Roles, carried_parts, find_roles, likely_signal
from .integer_ids import widen_ids
from .node_forms import drop_lengths, forbid_empty, put_time_first
from .opened_frames import open_frames
from .opsets import modernize
from .reversals import turn_layers
from .several_inputs import SeveralInputs, follow_signal, join_inputs
from .single_precision import make_single
from .squeezes import name_dropped_axes
from .written_steps import write_steps


@dataclass(frozen=True)
class FrameSize:
    """The caller's size of a frame.

    Attributes:
        new: New values per frame; None: the file says it.
        context: Values of the frame before that come first in each frame.
    """

    new: int | None
    context: int


@dataclass(frozen=True)
class Opened:
    """A foreign file without options and branches.

    Attributes:
        original: The file as it was, but in float32, and with float operators instead of integer ones.
        quantized: The file as it was, but in float32, if it had integer operators; else None.
        declared: The declared shape of its signal; a size that its Reshapes fix is a number.
        fixed: The inputs that became constants.
        several: The signals and the static inputs.
        model: The graph, without branches; states that started from constants start from zeros.
        roles: The roles of its inputs.
        starts: The constants that states started from, other than zeros.
        context: As in `FrameSize`.
        flat: Whether the file takes all frames of a run in one axis.
        done: What was changed, one sentence per change.
        rows: The rows of the file that make a frame, if strides over time are before its layers.
    """

    original: bytes
    quantized: bytes | None
    declared: Dims
    fixed: tuple[FixedInput, ...]
    several: SeveralInputs
    model: onnx.ModelProto
    roles: Roles
    starts: dict[StateKey, Floats]
    context: int
    flat: bool
    done: tuple[str, ...]
    rows: Rows | None = None


def open_file(
    model: onnx.ModelProto,
    values: Mapping[str, float | Array],
    states: Mapping[str, str] | None,
    frame: FrameSize,
    static: Sequence[str] = (),
) -> Opened:
    """Open a file: fix its options and the size of a frame, resolve its branches, and find the roles of its inputs.

    Args:
        model: The file; it is changed.
        values: Inputs, or values that nodes make, that stay the same for a whole stream.
        states: The output that feeds each state input; None: found by names and the graph.
        frame: The caller's size of a frame.
        static: Inputs that a caller sets for each stream.

    Raises:
        ContractError: A state or the frame is ambiguous.
        ModelError: A value is for no input of the file.
        UnsupportedError: A condition depends on the stream, or an operator cannot be converted.
    """
    done: list[str] = []
    _forget_weights_among_inputs(model)
    del model.graph.value_info[:]  # torch writes the example's sizes there too, and onnxruntime then fuses by them
    refuse_endless_loops(model)
    others = [item.name for item in model.graph.input][1:]
    cut_values(model, values)
    several = _in_common_form(model, states, values, static, done)
    came = model.SerializeToString()
    replaced = replace_integers(model)
    done += [f"Weights of {len(replaced)} integer operators are now codes with DequantizeLinear."] if replaced else []
    original = model.SerializeToString()
    model = modernize(model)
    declared = {item.name: shape_of(item) for item in model.graph.input}
    first = likely_signal(model, states, values)
    fixed = fix_inputs(model, values, first)
    done += [f"Input {one.name} is constant: {one.text}." for one in fixed] + several.notes()
    flat = unfold_frames(model, first)
    _follow(model, fixed, several, first)
    if not flat and not _may_be_flat(model, first, frame):
        _fix_frame(model, first, frame)
    frozen, unfolded = _in_plain_layers(model, first, done)
    flat = flat or unfolded
    if flat:
        done.append(f"Its input held frames of {flat[1]} values in one axis; now frames and values have an axis each.")
        declared[first] = (declared[first][0], *flat)
    refusal = write_steps(model, first, states, others)
    name_nodes(model)
    with explaining(refusal):
        refuse_state_inputs(model)
        roles = find_roles(model, states, several.static)
    _fix_frame(model, roles.signal, frame)
    starts = take_starts(model, roles.signal, _free(model, roles.signal))
    split_directions(model)
    shape = tuple(frozen.get(axis, size) for axis, size in enumerate(declared[roles.signal]))
    kept = came if replaced else None
    return Opened(original, kept, shape, fixed, several, model, roles, starts, frame.context, bool(flat), tuple(done))


def _in_common_form(
    model: onnx.ModelProto,
    states: Mapping[str, str] | None,
    values: Mapping[str, float | Array],
    static: Sequence[str],
    done: list[str],
) -> SeveralInputs:
    """Give a file float32, int64 ids, one signal, and layers with time first, in place; say in `done` what changed."""
    types, ids = make_single(model), widen_ids(model)
    forbid_empty(model)
    several = join_inputs(model, states, values, static)
    batched, whole = put_time_first(model), drop_lengths(model, likely_signal(model, states, values))
    done += [f"Its floats were {' and '.join(types)}; now all are float32."] if types else []
    done += [f"Ids of {kind} are int64 now." for kind in ids]
    done += [f"{len(batched)} recurrent layers had the batch first (layout 1), now time."] if batched else []
    done += [f"The lengths of sequences {name} are those of the whole signal: left out." for name in whole]
    return several


def _in_plain_layers(model: onnx.ModelProto, source: str, done: list[str]) -> tuple[dict[int, int], Dims]:
    """Resolve branches, loops and frames that are turned around, in place; say in `done` what changed.

    Returns:
        The sizes that Reshapes fixed, by the axis of the signal, and what `unfold_frames` found after the loops.
    """
    opened = open_branches(model, lambda part, names: settled_values(part, source, (0,), names))
    fold_constants(model)
    fold_neutral(model)
    rolled = roll_bodies(model)
    unfolded = unfold_frames(model, source)
    turned = turn_layers(model, source)
    drop_identities(model)
    follow_streams(model, source)
    write_unfolds(model, source, _free(model, source))
    open_frames(model, source, carried_parts(model))
    frozen = name_dropped_axes(model, source)
    write_products(model)
    write_transposed(model, _free(model, source))
    move_pads(model)
    move_cuts(model)
    open_sizes(model, source)
    remove_dead(model)
    done += [f"Opened {len(opened)} conditions, the first of them {opened[0]}."] if opened else []
    done += [f"Its Reshapes fixed axis {axis} at {size}; now its size is free." for axis, size in frozen.items()]
    done += rolled
    done += [f"Its frames were turned around for {name}; now that is a backward layer." for name in turned]
    return frozen, unfolded


def _free(model: onnx.ModelProto, source: str) -> list[int]:
    """Return the axes of a signal whose sizes are free."""
    return [axis for axis, size in enumerate(shape_of(input_named(model, source))) if not isinstance(size, int)]


def _follow(model: onnx.ModelProto, fixed: Iterable[FixedInput], several: SeveralInputs, source: str) -> None:
    """Give inputs that stay the same the sizes of the signal, in place."""
    spread_over_signal(model, fixed, source)
    follow_signal(model, several.static, source)


def _forget_weights_among_inputs(model: onnx.ModelProto) -> None:
    """Remove weights from the inputs, in place: files of ONNX's IR version 3 list them there too, and must."""
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [item for item in model.graph.input if item.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 4)  # the first in which a weight need not be an input


def _may_be_flat(model: onnx.ModelProto, name: str, frame: FrameSize) -> bool:
    """Return whether a signal may hold several of the caller's frames in one axis."""
    dims = shape_of(input_named(model, name))
    known = dims[-1] if len(dims) == 2 else None
    return isinstance(known, int) and not frame.context and frame.new is not None and known % frame.new == 0


def _has_strides(model: onnx.ModelProto, item: onnx.ValueInfoProto) -> bool:
    """Return whether strides along the last axis of a signal say how many samples make a frame."""
    folded, free = onnx.ModelProto(), (0, len(shape_of(item)) - 1)
    folded.CopyFrom(model)
    fold_constants(folded)
    return free[1] > 0 and find_rows(folded, item.name, free) is not None


def _fix_frame(model: onnx.ModelProto, name: str, frame: FrameSize) -> None:
    """Write the caller's size of a frame into the last axis of the signal.

    Raises:
        ContractError: The file has another size, or neither the file nor the caller gives one.
    """
    item = input_named(model, name)
    dims = shape_of(item)
    known = dims[-1] if dims and isinstance(dims[-1], int) else None
    if item.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return
    wanted = None if frame.new is None else frame.new + frame.context
    if wanted is not None and known not in (None, wanted):
        raise ContractError(
            f"input {name!r} takes {known} values per frame, but frame {frame.new} and context {frame.context} "
            f"make {wanted}; the file says the size: leave --frame out, with --context {known // 2} or less"
        )
    if wanted is not None:
        set_dims(item, (*dims[:-1], wanted))
    elif (
        known is None and not any(isinstance(size, int) and size > 1 for size in dims) and not _has_strides(model, item)
    ):
        raise ContractError(
            f"input {name!r} has shape {shape_text(dims)}, wanted the number of new values per frame: --frame N; if "
            "its caller repeats values of the frame before, --context M too (Silero VAD at 16 kHz: --frame 512 "
            "--context 64; at 8 kHz: --frame 256 --context 32)"
        )
