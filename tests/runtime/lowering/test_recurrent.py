"""Recurrent nodes: their options, and the nodes that the engine does not have, which are refused by name."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.cells import GRU, LSTM, RNN, Activation, CellKind, CellOptions
from tidegate.runtime.contract import Port, State
from tidegate.runtime.errors import ModelError, UnsupportedError
from tidegate.runtime.graph.cell_options import option_attributes
from tidegate.runtime.load import compile_graph
from tidegate.runtime.operators import Gru, GruWithOptions, Lstm, LstmWithOptions, Operator, Rnn, RnnWithOptions
from tidegate.runtime.program import Reading
from tools.drafts import FEATURES, HIDDEN, Build, Draft, of_lstm, part, refuses
from tools.random_layers import cell_options


def lstm_of_batch_first(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm(d.add("Transpose", "x", perm=[1, 0, 2])), 1))


def sequence_lens(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", lens=d.tensor([1], np.int32)), 1))


def peepholes_of(*shape: int) -> Build:
    return lambda d: d.answer(d.squeeze(d.lstm("x", P=d.tensor(d.random(*shape))), 1))


def start_left_out(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", start=("", ""), final=("hn", "cn")), 1))


def start_of_zeros(d: Draft) -> None:
    """A model that was exported without states."""
    zeros = d.tensor(np.zeros((1, 1, HIDDEN)))
    d.answer(d.squeeze(d.lstm("x", start=(zeros, zeros), final=("hn", "cn")), 1))


def start_of_two_layers(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", start=d.state(2)), 1))


def wrong_axis_of_lstm(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", R=d.weights(1, 4 * HIDDEN, HIDDEN, axis=2)), 1))


def lstm_bias_of_shape(*shape: int) -> Build:
    return lambda d: d.answer(d.squeeze(d.lstm("x", B=d.tensor(d.random(*shape))), 1))


def unfinite_lstm_bias(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", B=d.tensor(np.full((1, 8 * HIDDEN), np.inf))), 1))


def relabelled(h: str, c: str) -> Build:
    """A contract whose state outputs differ from those of the graph."""

    def build(d: Draft) -> None:
        d.answer(d.layer("x"))
        names = {"h": d.states[0].output, "c": d.states[1].output, "y": d.ports[0].name, "x": "x"}
        d.ports = [Port(d.add("Identity", d.ports[0].name), 0, 1)]
        d.states = [
            State(s.input, names[n], s.kind, s.shape) for s, n in zip(d.states, (h, c), strict=True) if n in names
        ]

    return build


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "axes of an LSTM": (
        part(lstm_of_batch_first),
        UnsupportedError,
        "axes (batch, time, feature), wanted (time, batch",
    ),
    "reverse": (of_lstm(direction="reverse"), UnsupportedError, "it runs backward from an initial state, wanted none"),
    "bidirectional": (of_lstm(direction="bidirectional"), UnsupportedError, "direction is 'bidirectional', wanted"),
    "layout": (of_lstm(layout=1), UnsupportedError, "layout is 1, wanted 0; export it with the time axis first"),
    "clip": (of_lstm(clip=-3.0), UnsupportedError, "clip is -3.0, wanted a number above 0"),
    "activations": (of_lstm(activations=["Sigmoid", "Tanh", "Gelu"]), UnsupportedError, "activation Gelu is unknown"),
    "peepholes": (peepholes_of(1, HIDDEN), UnsupportedError, "has shape (1, 8), wanted 24 values"),
    "sequence_lens": (sequence_lens, UnsupportedError, "LSTM 'lstm': it has sequence_lens"),
    "no start": (start_left_out, UnsupportedError, "it starts from '', wanted a state input; lift it with"),
    "start of zeros": (start_of_zeros, UnsupportedError, "it starts from 'v"),
    "start of two layers": (start_of_two_layers, UnsupportedError, "it starts from 'v"),
    "state left out": (relabelled("h", "none"), UnsupportedError, "wanted a state input"),
    "wrong axis of an LSTM": (wrong_axis_of_lstm, UnsupportedError, "its weights are scaled along axis"),
    "LSTM bias of five values": (lstm_bias_of_shape(1, 5), UnsupportedError, "has shape (1, 5), wanted 64 values"),
    "LSTM bias of infinity": (unfinite_lstm_bias, UnsupportedError, "LSTM 'lstm': a constant or bias is not finite"),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])


def draft_of(kind: CellKind, *more: str, int8: bool = True, **options: Any) -> Draft:  # noqa: ANN401  attributes
    """Return a draft of a node; `more` are its inputs after the states."""
    d = Draft(int8=int8)
    rows = len(kind.gates) * HIDDEN
    weights = [d.weights(1, rows, size, axis=1) for size in (FEATURES, HIDDEN)]
    d.states = [State(f"s.{s.kind}", f"s.{s.kind}.out", s.kind, (1, "batch", HIDDEN)) for s in kind.states]
    inputs = ["x", *weights, d.tensor(d.random(1, 2 * rows)), "", *(s.input for s in d.states), *more]
    outputs = [d.name(), *(s.output for s in d.states)]
    d.answer(d.squeeze(d.many(kind.operator, inputs, outputs, hidden_size=HIDDEN, **options)[0], 1))
    return d


def cell_of(kind: CellKind, **options: Any) -> Operator:  # noqa: ANN401  attributes
    """Return the operation of a node."""
    return draft_of(kind, **options).program().ops[0]


@pytest.mark.parametrize(
    ("kind", "options", "plain", "other"),
    [
        (LSTM, {"clip": 0.0, "input_forget": 0}, Lstm, None),
        (LSTM, {"input_forget": 1}, LstmWithOptions, CellOptions(LSTM.plain.activations, coupled=True)),
        (GRU, {"linear_before_reset": 1}, Gru, None),
        (GRU, {}, GruWithOptions, CellOptions(GRU.plain.activations, reset_first=True)),
        (RNN, {"activations": ["Relu"]}, Rnn, None),
        (RNN, {"activations": ["Softsign"]}, RnnWithOptions, CellOptions((Activation("Softsign"),))),
        (RNN, {"clip": 2.0}, RnnWithOptions, CellOptions(RNN.plain.activations, clip=2.0)),
    ],
)
def test_only_a_node_with_options_becomes_a_cell_with_options(
    kind: CellKind, options: dict[str, Any], plain: type[Operator], other: CellOptions | None
) -> None:
    op = cell_of(kind, **options)
    assert type(op) is plain
    assert getattr(op, "options", None) == other


def test_a_gru_that_resets_first_joins_all_biases() -> None:
    first, plain = cell_of(GRU), cell_of(GRU, linear_before_reset=1)
    assert isinstance(first, GruWithOptions)
    assert isinstance(plain, Gru)
    np.testing.assert_array_equal(first.bias[:16], plain.bias[:16])
    np.testing.assert_array_equal(first.bias[16:], plain.bias[16:] + plain.candidate_bias)
    assert not first.candidate_bias.any()


def test_row_71_an_h_without_bound_is_read_by_the_largest_magnitude_of_each_frame() -> None:
    op = cell_of(GRU, activations=["Sigmoid", "Relu"])
    assert isinstance(op, GruWithOptions)
    assert op.r.reading is Reading.FRAME


def test_peepholes_are_weights_of_the_gates() -> None:
    d = Draft()
    values = d.random(1, 3 * HIDDEN)
    d.answer(d.squeeze(d.lstm("x", P=d.tensor(values)), 1))
    op = d.program().ops[0]
    assert isinstance(op, LstmWithOptions)
    np.testing.assert_array_equal(op.peepholes, values[0])


@pytest.mark.parametrize("kind", [LSTM, GRU, RNN], ids=lambda kind: kind.name)
@pytest.mark.parametrize("seed", range(12))
def test_row_70_any_options_give_the_answers_of_onnxruntime(kind: CellKind, seed: int) -> None:
    """The engine in float32. The gates of a GRU are within [0, 1]: others make h grow, and each difference with it."""
    rng = np.random.default_rng(seed)
    options = cell_options(rng, kind)
    if kind is GRU and not options.activations[0].is_within(2):
        options = replace(options, activations=(Activation("Sigmoid"), options.activations[1]))
    peephole = ["peepholes"] if kind is LSTM and seed % 2 else []
    draft = draft_of(kind, *peephole, int8=False, **option_attributes(kind, options))
    draft.tensors += [numpy_helper.from_array(draft.random(1, 3 * HIDDEN), name) for name in peephole]
    graph, x = draft.graph(), rng.normal(0, 0.5, (12, FEATURES)).astype(np.float32)
    seen, wanted = (
        np.asarray(model.stream().push(x)) for model in (NativeModel(compile_graph(graph)), OnnxruntimeModel(graph))
    )
    error = float(np.abs(seen - wanted).max()) / max(float(np.abs(wanted).max()), 0.01)
    print(f"{kind.name} {options}: largest difference over largest value {error:.1e}, allowed 1e-6")
    assert error <= 1e-6
