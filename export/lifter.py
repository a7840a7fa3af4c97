"""Lift: from a foreign ONNX file, without its source, to a streaming file, proved equal to it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from operator import index
from typing import Any

import numpy as np
import onnx

from ..runtime.arrays import Array
from ..runtime.contract import METADATA_KEY, ZEROS, Blocks, Contract, Piece, Port, State
from ..runtime.errors import ChunkError, ContractError, ExportError, ModelError, TidegateError, UnsupportedError
from ..runtime.files import refuse_overwriting, write_atomic
from ..runtime.graph.data_files import DataFiles
from ..runtime.graph.graph import Graph
from ..runtime.graph.stages import looking_ahead
from ..runtime.load import naming
from ..runtime.streams import apart
from .exporter import ExportReport, writable
from .foreign.file_layout import layout_of, without_states
from .foreign.fixed_inputs import FixedInput
from .foreign.frames_as_batch import keep_context, run_along_batch
from .foreign.input_roles import as_shape
from .foreign.integer_activations import DATA, NOISE, Forms, IntegerError, warnings
from .foreign.integer_weights import prove_weights
from .foreign.layout import Layout, find_layout
from .foreign.notes import state_notes
from .foreign.opening import FrameSize, Opened, open_file
from .foreign.original import OriginalFile, at_any_length, finite, unfinite
from .graph.axes import set_dims, shape_of, shape_text, signal_input
from .graph.editing import check_model, input_named, remove_dead
from .graph.expands import write_expands
from .graph.features import give_features
from .graph.folds import settle_folds
from .graph.names import name_weights, weights_under
from .graph.squeezes import fix_squeezes
from .proof.comparison import Check, Judge, UnfiniteError
from .proof.loaded import Loaded, load_everywhere
from .proof.proof import Proof
from .proof.rounding import Rounding
from .proof.runner import Runner
from .proof.signals import as_signal, batched, cut, noise, static_noise, time_axis
from .proof.whole_sequence import whole_refused
from .rewrites.constant_starts import write_starts
from .states.block_grid import asked_blocks, used_blocks
from .states.convolution_tails import ahead_of, lift_tails, time_convolutions
from .states.delays import delayed_values, lift_delays
from .states.recurrent_states import ForeignState, lift_states
from .states.static_inputs import keep_static

FRAMES, STREAMS = 20, 2  # of the proof's data, if the file leaves them open

# Errors that an invalid graph may raise anywhere, here or in onnx.
_INVALID = (AttributeError, IndexError, KeyError, RuntimeError, StopIteration, TypeError, ValueError, ZeroDivisionError)


@dataclass(frozen=True)
class LiftReport(ExportReport):
    """The result of a lift, like that of an export.

    Attributes:
        done: What was changed, one sentence per change.
        integers: How far the 8-bit activations of a quantized file move its answers: to noise, then to the data if
            there is some; empty if the file has no integer operators.
        warnings: What a caller must know, one sentence each, with a way out.
    """

    done: tuple[str, ...] = ()
    integers: tuple[IntegerError, ...] = ()
    warnings: tuple[str, ...] = ()


def lift(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    states: Mapping[str, str] | None = None,
    values: Mapping[str, float | Array] | None = None,
    static: Sequence[str] = (),
    frame: int | None = None,
    context: int = 0,
    sample_rate: float | None = None,
    hop: int | None = None,
    block: int | None = None,
    lookahead: int = 0,
    limit: int | None = None,
    tolerance: float | None = None,
    data: Array | Callable[[bytes], Array] | None = None,
) -> LiftReport:
    """Turn a foreign ONNX file into a streaming file: its states become inputs and outputs, paired by a contract.

    The states may be hidden (they start from zeros or other constants in the graph), or inputs and outputs already.
    The file may take one frame per run, have an `If` on an option, or be quantized by onnxruntime. The new file is
    written only after a proof in onnxruntime: its answers equal those of the old file for a whole signal, in chunks
    with carried state, and at other lengths and batches if the old file takes them; and each state matters.

    Args:
        source: The foreign file; its weights may be in other files of its folder.
        target: The file to write. An older file is replaced only if everything succeeded.
        states: The output that feeds each state input, e.g. `{"h": "hn"}`. None: found by names and the graph.
        values: Inputs that stay the same for a whole stream; they become constants. A number fills an input, `{"sr":
            16000}`, also along the free sizes of the signal, `{"mask": 1}`; an array has the shape for one stream,
            `{"speaker": vector}` of `[1, 256]`. A value that nodes compute is set by its name too, such as a mask.
        static: Inputs that a caller sets for each stream and may change between pushes, if their shapes do not say so.
            An input of floats without an axis of time is static if it has no value. It is a state, zeros at first.
        frame: New values per frame, if the file does not say it: 512 for Silero VAD at 16 kHz.
        context: Values of the frame before that come first in each frame: 64 for Silero VAD at 16 kHz. They become a
            state.
        sample_rate: Samples per second of the signal, for the contract.
        hop: Samples from one frame to the next, for the contract.
        block: As in `export_model`, for layers with a backward direction.
        lookahead: As in `export_model`.
        limit: As in `export_model`.
        tolerance: As in `export_model`.
        data: A signal of the caller, float32 `[frames, features]` or ids `[frames]`: the answers to it are compared
            too. Or a function from the bytes of the streaming file to such a signal.

    Returns:
        The report, with the contract, all measured errors and a list of changes.

    Raises:
        ModelError: The file cannot be lifted; the message names the node or input, and the way out.
        ContractError: A state, the time axis or the frame is ambiguous, or the block options do not fit.
        UnsupportedError: A node cannot be streamed.
        ExportError: The proof failed; nothing was written.
        ChunkError: The file does not take the data.
        BackendError: onnxruntime is not installed.
    """
    path, blocks = writable(target), asked_blocks(block, lookahead, limit)
    if data is not None and not callable(data):
        data = as_signal(data)
    with _naming(source):
        graph = Graph.load(source, data_files=(weights := DataFiles(os.fspath(source))))
        refuse_overwriting(path, source, *weights.paths)
        _refuse_initial_states(graph)
        opened = open_file(graph.model, values or {}, states, FrameSize(frame, context), static)
        opened, bare, layout = layout_of(opened)
        with _whole_refused(bare, layout, opened.several.pieces):
            draft = _lift(opened, bare, layout, blocks)
            rate = None if sample_rate is None else float(sample_rate)
            contract = replace(draft.contract, sample_rate=rate, **_hop(hop, opened))
            Contract.from_json(contract.to_json())  # refuses rates that are not positive
            Graph(draft.model).set_metadata(METADATA_KEY, contract.to_json())
            check_model(draft.model)
            file = draft.model.SerializeToString()
            loaded = load_everywhere(file, path)
            given = [] if data is None else _signals(data(file) if callable(data) else data, opened, draft, loaded)
            checks = _prove(
                opened, draft, Runner(file, contract, given=static_noise(contract)), tolerance, loaded, given
            )
            integers = () if opened.quantized is None else _integers(opened, opened.quantized, draft, given)
    write_atomic(path, file)
    made_by = f"lifted from {os.fspath(source)}"
    done = (*opened.done, *draft.done, *(text for error in integers for text in error.sentences()))
    noted = (done, integers, tuple(warnings(integers)))
    return LiftReport(path, len(file), contract, checks, made_by, {}, loaded.refused, *noted)


def _hop(asked: int | None, opened: Opened) -> dict[str, Any]:
    """Return the samples from one frame to the next; a caller's hop is that of a row, if several rows make a frame.

    Raises:
        ContractError: The rows of a frame are samples, and the caller gives another number of them.
    """
    hop, rows = None if asked is None else index(asked), opened.rows
    if rows is None or rows.hop is None:
        return {"hop": hop if hop is None or rows is None else hop * rows.count}
    if hop not in (None, rows.hop):
        raise ContractError(f"hop is {hop}, the strides of the file make a frame of {rows.hop} samples; leave hop out")
    return {"hop": rows.hop, "samples": True}


def _refuse_initial_states(graph: Graph) -> None:
    """Refuse a streaming file whose states start from initializers: only its contract says so, and it would be lost.

    Raises:
        UnsupportedError: It is such a file.
    """
    with suppress(ContractError):  # without a valid contract it is a foreign file
        started = [state.input for state in graph.contract.states if state.initial != ZEROS]
        if started:
            raise UnsupportedError(
                f"a streaming file already, and {', '.join(started)} start from its initial states; use it as is"
            )


@contextmanager
def _naming(source: str | os.PathLike[str]) -> Iterator[None]:
    """Add the name of the foreign file to errors; turn errors of an invalid graph into a ModelError."""
    with naming(source):
        try:
            yield
        except ExportError as error:
            raise ExportError(f"{os.fspath(source)}: {error}") from error
        except TidegateError:
            raise
        except _INVALID as error:
            first = str(error).partition("\n")[0][:200]
            raise ModelError(
                f"the graph is not valid ONNX ({type(error).__name__}: {first}); export it again"
            ) from error


@dataclass(frozen=True)
class _Draft:
    """A lifted model before its proof.

    Attributes:
        model: The model.
        contract: Its contract.
        layout: The axes of its signal.
        one_frame: Whether the foreign file takes one frame per run.
        done: What was changed, one sentence per change.
    """

    model: onnx.ModelProto
    contract: Contract
    layout: Layout
    one_frame: bool
    done: tuple[str, ...]


def _whole_refused(
    bare: onnx.ModelProto, layout: Layout | None, pieces: Sequence[Piece]
) -> AbstractContextManager[None]:
    """Name the operator that needs the whole sequence, if it is the cause of an error in this context."""
    if layout is None:
        return nullcontext()
    source = Port(signal_input(bare).name, layout.axes.time, layout.axes.batch)
    example = noise(bare, source, FRAMES, STREAMS, pieces)
    carried = [convolution.answer for convolution in time_convolutions(bare, layout.dims)]
    carried += delayed_values(bare, layout.dims, layout.axes)
    return whole_refused(bare, layout.dims, layout.axes, carried, example)


def _lift(opened: Opened, bare: onnx.ModelProto, layout: Layout | None, blocks: Blocks) -> _Draft:
    """Lift the states of an opened file and write its contract."""
    model, name, foreign = opened.model, opened.roles.signal, opened.roles.states
    without_states(model, foreign)
    one_frame = layout is None
    if layout is None:
        layout = _run_along_batch(model)
    ports = {port.name: port for port in layout.outputs(bare)}
    whole = tuple(_with_batch(known, layout.batch) for known in foreign if not known.packed)
    for item in (*model.graph.input, *model.graph.output):
        if item.name in ports or item.name == name:
            set_dims(item, layout.axes.named(layout.dims[item.name]))
    single = give_features(model, ports)
    fix_squeezes(model, layout.dims)
    write_expands(model, layout.dims, name)
    before = _keep_context(model, name, layout, opened.context)
    convolutions = time_convolutions(model, layout.dims)
    tails = lift_tails(model, convolutions, layout.batch)
    folds = settle_folds(model, layout.dims, layout.axes, opened.starts)
    delays = lift_delays(model, layout.dims, layout.axes, layout.batch)
    states = (*before, *tails, *delays, *lift_states(model, batch=layout.batch, foreign=whole, folds=folds))
    signal = Port(name, layout.axes.time, layout.streams)
    outputs = tuple(ports.values())
    remove_dead(model)
    name_weights(model)
    states = write_starts(model, states, opened.starts)
    states += keep_static(model, list(opened.several.static), layout.batch)
    done = state_notes(foreign, states, one_frame, opened.context)
    done += tuple(f"Output {name} has an axis of features now, of one." for name in single)
    contract = looking_ahead(
        model,
        Contract((signal,), outputs, states, pieces=opened.several.pieces, fixed=weights_under(model, [])),
        used_blocks(model, blocks),
        ahead_of(convolutions),
    )
    return _Draft(model, contract, layout, one_frame, done)


def _run_along_batch(model: onnx.ModelProto) -> Layout:
    """Let a file that takes one frame per run take many, in place; return its layout."""
    run_along_batch(model)
    layout = find_layout(model)
    if layout is None:
        raise UnsupportedError(
            "the layers still run over one frame after their batch became time; report this as a fault of tidegate"
        )
    return layout


def _with_batch(known: ForeignState, batch: int | str) -> ForeignState:
    """Return a state [layers, batch, hidden] with the batch of the lifted file."""
    layers, _, size = known.state.shape
    return replace(known, state=replace(known.state, shape=(layers, batch, size)))


def _keep_context(model: onnx.ModelProto, name: str, layout: Layout, context: int) -> tuple[State, ...]:
    if not context:
        return ()
    source = input_named(model, name)
    if (layout.axes.time, len(shape_of(source)), layout.streams) != (0, 2, None):
        raise UnsupportedError(
            f"input {name!r} of shape {shape_text(shape_of(source))} with a context of {context}, wanted frames of one "
            "stream, [frames, values]"
        )
    return (keep_context(model, source, context),)


def _signals(data: Array, opened: Opened, draft: _Draft, loaded: Loaded) -> list[Array]:
    """Return a caller's signal with the axes of the file, in pieces as long as the foreign file takes.

    Raises:
        ChunkError: A backend refuses it, or it is shorter than one piece.
    """
    signal = as_signal(data)
    model = next(iter(loaded.models.values()))
    model.stream().push(apart(model.contract.pieces, signal))
    file = _original_file(opened.original, opened, draft)
    length = len(signal) if file.takes_any_length() else file.frames or len(signal)
    if not 0 < length <= len(signal):
        raise ChunkError(
            f"data has {len(signal)} frames, wanted at least {max(length, 1)}, which the file takes at once"
        )
    pieces = [signal[start : start + length] for start in range(0, len(signal) - length + 1, length)]
    return [batched(piece, draft.contract.inputs[0]) for piece in pieces]


def _prove(  # noqa: PLR0917  what is proved, and by what
    opened: Opened, draft: _Draft, runner: Runner, tolerance: float | None, loaded: Loaded, data: Sequence[Array]
) -> tuple[Check, ...]:
    """Prove that a lifted file equals the foreign file, and return the checks."""
    file = _original_file(opened.original, opened, draft)
    file = file if draft.one_frame else at_any_length(file)
    packed = {known.state.output for known in opened.roles.states if known.packed}  # the lifted file has only its parts

    def original(x: Array) -> dict[str, Array]:
        return finite({name: value for name, value in file.answers(x).items() if name not in packed}, given=bool(data))

    example, lengths, batches = _example(draft, file, data), file.takes_any_length(), draft.layout.batch == "batch"
    refused, judge = list[ChunkError | UnfiniteError](), Judge(Rounding(runner), tolerance)
    for signal in (example,) if data else (example, np.abs(example)):  # a file of logarithms takes magnitudes only
        try:
            return Proof(runner, original, signal, judge, loaded, lengths=lengths, batches=batches, data=data).run()
        except (ChunkError, UnfiniteError) as error:
            refused.append(error)
    raise refused[0] if isinstance(refused[0], UnfiniteError) else unfinite(str(refused[0]), given=bool(data))


def _example(draft: _Draft, file: OriginalFile, data: Sequence[Array] = ()) -> Array:
    """Return what the proof's data is like, in the sizes that the original takes: the start of the data, or noise."""
    port, frames = draft.contract.inputs[0], FRAMES if file.takes_any_length() or file.frames is None else file.frames
    streams = STREAMS if draft.layout.batch == "batch" else 1
    if data and (file.frames in {None, 1} or data[0].shape[time_axis(port)] == frames):
        start = cut(data[0], time_axis(port), 0, min(frames, data[0].shape[time_axis(port)]))
        return start if port.batch_axis is None else np.repeat(start, streams, port.batch_axis)
    return noise(draft.model, port, frames, streams, draft.contract.pieces)


def _integers(opened: Opened, quantized: bytes, draft: _Draft, data: Sequence[Array]) -> tuple[IntegerError, ...]:
    """Prove the weights of a quantized file, and measure how far its 8-bit activations move its answers.

    Raises:
        ExportError: An integer operator was replaced wrongly.
    """
    prove_weights(quantized, opened.original)
    floats = _original_file(opened.original, opened, draft)
    exact = _original_file(quantized, opened, draft, exact_integers=True)
    forms = Forms(floats, exact, _original_file(quantized, opened, draft))
    on_noise = forms.error(NOISE, [_example(draft, floats)])
    return (on_noise, forms.error(DATA, data)) if data else (on_noise,)


def _original_file(data: bytes, opened: Opened, draft: _Draft, *, exact_integers: bool = False) -> OriginalFile:
    """Return a foreign file with its states and sizes, ready to run."""
    layout = draft.layout
    states = tuple(replace(known.state, shape=as_shape(known.declared)) for known in opened.roles.states)
    runner = Runner(data, replace(draft.contract, states=states), exact_integers=exact_integers)
    single = draft.one_frame or bool(opened.context)
    rows, (frames, streams) = opened.rows, _declared(opened, layout)
    frames = frames if rows is None or frames is None else (frames - rows.after) // rows.count
    fixed = (*opened.fixed, *_static(opened, draft))
    return OriginalFile(runner, fixed, 1 if single else frames, streams, opened.context, opened.flat, rows)


def _declared(opened: Opened, layout: Layout) -> tuple[int | None, int | None]:
    """Return how many frames, or rows, and streams a run of the foreign file takes; None: any number."""
    rows, declared = opened.rows, opened.declared
    time, streams = (layout.axes.time, layout.streams) if rows is None else (rows.time, rows.batch)
    return _fixed(declared[time]), None if streams is None else _fixed(declared[streams])


def _static(opened: Opened, draft: _Draft) -> Iterator[FixedInput]:
    """Yield values of the static inputs for the proof: noise."""
    batch = draft.contract.inputs[0].batch_axis
    batched = {state.input: "batch" in state.shape for state in draft.contract.states}
    for name, value in static_noise(draft.contract).items():
        rank = len(opened.several.static[name])
        own = value if rank > 1 else value.reshape(-1) if rank else value.reshape(())
        yield FixedInput(name, own, {} if batch is None or not batched[name] else {0: batch})


def _fixed(size: int | str | None) -> int | None:
    return size if isinstance(size, int) else None
