"""Export: from a PyTorch module to a streaming ONNX file, proved equal to it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from ..runtime.arrays import Floats
from ..runtime.contract import METADATA_KEY, Blocks, Contract, Port, State
from ..runtime.errors import ContractError, ExportError, TidegateError
from ..runtime.files import write_atomic
from ..runtime.graph.graph import Graph
from ..runtime.graph.stages import looking_ahead
from .graph.axes import Axes, Dims, find_axes, output_ports, set_dims, trace_dims
from .graph.constants import fold_constants
from .graph.editing import check_model, forget_origin, read_names, remove_dead, rename, value_names
from .graph.expands import write_expands
from .graph.features import give_features
from .graph.folds import Folds, settle_folds
from .graph.markers import forget_markers
from .graph.names import name_weights, weights_under
from .graph.recurrent_nodes import checked_nodes, explaining
from .graph.squeezes import fix_squeezes
from .optional import need
from .proof.comparison import Check, Judge
from .proof.loaded import load_everywhere
from .proof.proof import Proof
from .proof.rounding import Rounding
from .proof.runner import Runner
from .proof.whole_sequence import WholeSequenceError, reads_other_frames, refuse_lost_frames, whole_refused
from .pytorch.answers import InChunks, Original, answers_in_chunks, whole_answers
from .rewrites.arguments import (
    StateKey,
    fill_arguments,
    fill_lengths,
    follow_batch,
    name_states,
    refuse_read,
    started_by,
    unpack_sequences,
    whole_arguments,
)
from .rewrites.averages import write_averages
from .rewrites.branches import open_squeezes
from .rewrites.constant_starts import take_starts, write_starts
from .rewrites.cuts import move_cuts, write_last_pieces
from .rewrites.directions import split_directions
from .rewrites.frames import write_frames
from .rewrites.frames_of_rows import write_rows
from .rewrites.grouped_products import write_products
from .rewrites.loops import roll_loops
from .rewrites.pads import move_pads
from .rewrites.projections import write_projections
from .rewrites.rows import find_rows, loses_frames
from .rewrites.transposed import write_transposed
from .rewrites.unfolds import write_unfolds
from .rewrites.written_loops import mark_loops
from .states.block_grid import asked_blocks, used_blocks
from .states.convolution_tails import TimeConvolution, ahead_of, lift_tails, time_convolutions
from .states.delays import delayed_values, lift_delays
from .states.recurrent_states import drop_repeats, lift_states
from .states.static_inputs import keep_static

if TYPE_CHECKING:
    import torch

    from .pytorch.module import Layout, Subject


@dataclass(frozen=True)
class ExportReport:
    """The result of an export, with the errors measured in its proof.

    Attributes:
        path: The file.
        bytes: The size of the file.
        contract: The streaming contract of the file.
        checks: The comparisons of the proof, with measured errors and their limits.
        exporter: The name and version of the tracer.
        folded: Outputs of the module that repeat a state; for each, the name of the state output in the file.
        refused: The backends that do not run the file, with their reasons.
    """

    path: Path
    bytes: int
    contract: Contract
    checks: tuple[Check, ...]
    exporter: str
    folded: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """The largest relative error of all checks, without those that must differ."""
        return max(check.error for check in self.checks if not check.must_differ)


def export_model(
    model: "torch.nn.Module",
    example: object,
    path: str | os.PathLike[str],
    *,
    sample_rate: float | None = None,
    hop: int | None = None,
    block: int | None = None,
    lookahead: int = 0,
    limit: int | None = None,
    static: Sequence[str] = (),
    tolerance: float | None = None,
) -> ExportReport:
    """Export a module as streaming ONNX: states are graph inputs and outputs, time and batch are free.

    The file is written only after a proof in onnxruntime: its answers equal the module's for a whole signal, in chunks
    with carried state, at other lengths and batches; each state matters. The module runs in eval mode and stays as is.

    Args:
        model: A module or ScriptModule in float32. Its recurrent layers are `nn.LSTM`, `nn.GRU` or `nn.RNN`, or their
            cells in a loop over time. They start from zeros or other constants, such as parameters. Its convolutions
            along time have an answer per frame.
        example: One signal, a tensor or array as the forward takes it, e.g. `[1, 20, 6]`. Its length and batch do not
            matter; its values set the scale of the proof's data. If the forward takes more arguments, a tuple as for
            torch.onnx.export: `(x, (h, c))`, `(x, lengths)`, `(near, far)` or `(x, speaker)`. In the file, the stream
            carries such states, and the lengths are those of whole chunks. Floats of the same batch and frames as the
            first are further signals: a push takes `{name: frames}`. Other floats are static inputs: they are states
            that only the caller changes. Arguments that may be None can be left out.
        path: The file to write. An older file is replaced only if everything succeeded.
        sample_rate: Samples per second of the signal, for the contract.
        hop: Samples from one frame to the next, for the contract.
        block: Frames per block, for bidirectional layers. Their backward directions start from zeros for each block,
            `lookahead` frames after its end, and a push returns the frames whose blocks are complete. None: the whole
            stream is one block, and its answers come at `finish()`, as offline; see docs/contract.md.
        lookahead: Frames after a block that its backward directions see.
        limit: Most frames of a stream that is one block; None: 4096.
        static: Arguments that stay the same for a stream, if the example does not show it, because it has one frame.
        tolerance: Largest error allowed, relative to the largest value of an output. None: 1e-5, or in each frame 32
            times what float32 rounding changes in the answers, if that is more.

    Returns:
        The report, with the contract and all measured errors.

    Raises:
        ExportError: The module cannot be traced, or the proof failed; nothing was written.
        UnsupportedError: A recurrent layer, a convolution or another operator cannot be streamed.
        ContractError: The time or batch axis is ambiguous, a rate is not positive, or the block options do not fit.
        ModelError: The module has no recurrent layer.
        BackendError: torch or onnxruntime is not installed.
    """
    target, blocks = writable(path), asked_blocks(block, lookahead, limit)
    subject = _subject(model, example, static)
    with subject.evaluating():
        subject.try_example()
        with _remarks_of(subject):
            traced = _trace(subject)
            hop = subject.agreed_hop(hop)
            later = partial(subject.sees_later_frames, traced.axes.time)
            known = traced.model, traced.dims, traced.axes
            carried = [*(one.answer for one in traced.convolutions), *delayed_values(*known)]
            with whole_refused(*known, carried, subject.example, inside=later):
                draft = _draft(subject, traced, sample_rate, hop, blocks)
                data = draft.model.SerializeToString()
                runner = Runner(data, draft.contract, given=subject.static_states())
                loaded = load_everywhere(data, target)
                judge = Judge(Rounding(runner), tolerance)
                checks = Proof(runner, draft.original, subject.example, judge, loaded, own=draft.own).run()
    write_atomic(target, data)
    return ExportReport(target, len(data), draft.contract, checks, subject.exporter, draft.folded, loaded.refused)


@dataclass(frozen=True)
class _Draft:
    """A lifted model before its proof.

    Attributes:
        model: The model.
        contract: Its contract.
        original: Returns the module's answers to a whole signal.
        own: Returns the module's answers to chunks, with its own state; None if the module returns no states.
        folded: As in `ExportReport`.
    """

    model: onnx.ModelProto
    contract: Contract
    original: Original
    own: InChunks | None
    folded: dict[str, str]


def writable(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file to write.

    Raises:
        ExportError: Its folder does not exist, or the path is a folder.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise ExportError(f"{target}: there is no folder {target.parent}; create it first")
    if target.is_dir():
        raise ExportError(f"{target}: is a folder, wanted the name of a file")
    return target


def _subject(model: object, example: object, static: Sequence[str]) -> "Subject":
    need("torch")
    from .pytorch.module import Subject  # torch is an extra, and takes 2 s to import

    return Subject(model, example, static)


@contextmanager
def _remarks_of(subject: "Subject") -> Iterator[None]:
    """Add to an error what may be its cause: an input of two roles, torch's warnings about the module's own lines."""
    try:
        yield
    except (ExportError, ContractError, WholeSequenceError) as error:
        remarks = f"; torch remarked at {'; at '.join(subject.remarks[:3])}" if subject.remarks else ""
        if not (doubt := subject.doubt()) + remarks:
            raise
        raise type(error)(f"{error}{doubt}{remarks}") from error


@dataclass(frozen=True)
class _Traced:
    """A translated module.

    Attributes:
        model: The graph.
        dims: The shapes of its values.
        axes: The axes of its signal.
        convolutions: Its convolutions along time.
        folds: Its recurrent layers inside a frame, or with several rows per stream.
        starts: The argument of the forward that each recurrent state starts from.
        constants: The constants, other than zeros, that a recurrent state starts from.
        whole: The arguments that hold whole states and give them their names.
    """

    model: onnx.ModelProto
    dims: dict[str, Dims]
    axes: Axes
    convolutions: list[TimeConvolution]
    folds: Folds
    starts: dict[StateKey, str]
    constants: dict[StateKey, Floats]
    whole: set[str]


def _trace(subject: "Subject") -> _Traced:
    """Translate the module with free time and batch axes; try layouts until its recurrent layers run along time."""
    usual, *others = subject.layouts()
    refusals: list[TidegateError] = []
    try:
        return _translated(subject, usual)
    except (ContractError, WholeSequenceError) as error:
        refusals.append(error)
    for layout in others:
        try:
            return _translated(subject, layout)
        except TidegateError as error:
            refusals.append(error)
    # The first refusal that names an operator; else that of the usual layout.
    raise next((error for error in refusals if isinstance(error, WholeSequenceError)), refusals[0])


def _translated(subject: "Subject", layout: "Layout") -> _Traced:
    """Translate the module with two axes of its input free."""
    free = layout.free
    subject.take(layout)
    model = subject.trace(free)
    write_frames(model, subject.input_name, subject.front.hop)
    filled = {name: tensor.numpy() for name, tensor in subject.others.tensors().items()}
    states = {name: filled.pop(name) for name in subject.others.states}
    filled = {name: value for name, value in filled.items() if name in subject.others.lengths}
    fill_lengths(model, filled, subject.input_name, subject.example.shape)
    unpack_sequences(model, subject.input_name, subject.example.shape, lengths=bool(filled) or _sorts(model))
    write_last_pieces(model)
    open_squeezes(model, subject.input_name, free)
    refusal = _write_markers(model, subject.input_name, free)
    with explaining(refusal):
        joined = None if subject.joined is None else subject.joined.name
        started = started_by(model, [*subject.others.names, *([joined] if joined else [])])
        if subject.others.settle(set(started.values()), read_names(model), joined):
            return _trace(subject)
        refuse_read(model, states)
        starts = started_by(model, states)
        whole = whole_arguments(model, {name: states[name] for name in states if name in subject.others.whole})
        fill_arguments(model, states)
        constants = take_starts(model, subject.input_name, free)
        checked_nodes(Graph(model))
    fold_constants(model)
    follow_batch(model)
    write_unfolds(model, subject.input_name, free)
    write_products(model)
    write_transposed(model, free)
    move_pads(model)
    move_cuts(model)
    split_directions(model, starts)
    dims = trace_dims(model, free)
    rows = find_rows(model, subject.input_name, free) if loses_frames(model, dims) else None
    if rows is not None:
        write_rows(model, subject.input_name, rows, flat=bool(subject.front.hop), several=bool(subject.joined))
        dims = trace_dims(model, free := (0, 1))
    fix_squeezes(model, dims)
    write_expands(model, dims, subject.input_name)
    convolutions = time_convolutions(model, dims)
    try:
        axes = find_axes(model, dims)
    except ContractError:
        # If this layout is only a guess, an operator over features would look like one over time.
        if layout == subject.layouts()[0] or reads_other_frames(model, dims):
            refuse_lost_frames(model, dims)
        raise
    subject.hear_rows(rows)
    _check_batch(subject, axes)
    folds = settle_folds(model, dims, axes, constants, starts)
    return _Traced(model, dims, axes, convolutions, folds, starts, constants, whole)


def _sorts(model: onnx.ModelProto) -> bool:
    """Return whether a graph sorts sequences by lengths that it computes itself."""
    return any(node.op_type == "TopK" for node in model.graph.node)


def _write_markers(model: onnx.ModelProto, source: str, free: Sequence[int]) -> str | None:
    """Replace the markers of the trace by standard operators; return why a loop is no recurrent layer."""
    fold_constants(model)
    refusal = mark_loops(model, source, free)
    roll_loops(model)
    write_projections(model)
    write_averages(model)
    forget_markers(model)
    return refusal


def _check_batch(subject: "Subject", axes: Axes) -> None:
    taken = 1 + (subject.example.dtype.kind == "f")
    if axes.batch is None and subject.example.ndim > taken:
        raise ContractError(
            f"input {subject.input_name!r} of shape {list(subject.example.shape)}: the recurrent layer has no free "
            "batch axis, wanted one; keep the batch of x.shape as it is, or take [time, features]"
        )


def _draft(subject: "Subject", traced: _Traced, sample_rate: float | None, hop: int | None, blocks: Blocks) -> _Draft:
    """Lift the states of a translated model and write its contract."""
    model, dims, axes = traced.model, traced.dims, traced.axes
    ports = {port.name: port for port in output_ports(model, dims, axes)}
    batch = 1 if axes.batch is None else "batch"
    tails = (*lift_tails(model, traced.convolutions, batch), *lift_delays(model, dims, axes, batch))
    states = (*tails, *lift_states(model, batch=batch, modules=subject.recurrent_paths, folds=traced.folds))
    handed = _handed(model, states, traced.starts)
    folded = drop_repeats(model, states, handed_out=bool(handed))
    names = _final_names(model, [name for name in ports if name not in folded])
    _finish(model, {name: axes.named(dims[name]) for name in (subject.input_name, *names)}, names)
    outputs = tuple(replace(ports[old], name=new) for old, new in names.items())
    give_features(model, {port.name: port for port in outputs})
    name_weights(model, subject.recurrent_paths)
    forget_origin(model)
    states = write_starts(model, states, traced.constants)
    states = name_states(model, states, traced.starts, traced.whole)
    states += keep_static(model, list(subject.static), batch)
    rate = None if sample_rate is None else float(sample_rate)
    contract = Contract((Port(subject.input_name, axes.time, axes.batch),), outputs, states, sample_rate=rate, hop=hop)
    fixed = weights_under(model, subject.front_paths)
    contract = replace(contract, pieces=subject.pieces, samples=subject.front.hop is not None, fixed=fixed)
    contract = looking_ahead(model, contract, used_blocks(model, blocks), ahead_of(traced.convolutions))
    Contract.from_json(contract.to_json())  # refuses rates that are not positive
    Graph(model).set_metadata(METADATA_KEY, contract.to_json())
    check_model(model)
    subject.axes = axes
    returned = {state: name for name, state in folded.items()}
    feeds = {argument: returned[state] for argument, state in handed.items() if state in returned}
    own = answers_in_chunks(subject, names, feeds) if len(feeds) == len(subject.others.states) > 0 else None
    return _Draft(model, contract, whole_answers(subject, contract, names | folded), own, folded)


def _handed(model: onnx.ModelProto, states: Sequence[State], starts: Mapping[StateKey, str]) -> dict[str, str]:
    """Return for each state argument of the module the state output with its next value."""
    outputs = {state.input: state.output for state in states}
    lifted = started_by(model, outputs)
    return {argument: outputs[lifted[unit]] for unit, argument in starts.items()}


def _final_names(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, str]:
    """Return the outputs' names in the file: a single output without its own name becomes `output`."""
    single = len(names) == 1 and names[0].startswith("output_") and "output" not in value_names(model)
    return {name: "output" if single else name for name in names}


def _finish(model: onnx.ModelProto, dims: dict[str, Dims], names: dict[str, str]) -> None:
    """Write shapes and names of inputs and outputs, and remove dead nodes."""
    for item in (*model.graph.input, *model.graph.output):
        if item.name in dims:
            set_dims(item, dims[item.name])
    for old, new in names.items():
        rename(model, old, new)
    remove_dead(model)
