"""Recurrent nodes that the engine does not have are refused by name."""

import numpy as np
import pytest
from tidegate.runtime.contract import Port, State
from tidegate.runtime.errors import ModelError, UnsupportedError
from tools.drafts import FEATURES, HIDDEN, Build, Draft, of_lstm, refuses


def gru(d: Draft) -> None:
    w, r = d.weights(1, 3 * HIDDEN, FEATURES, axis=1), d.weights(1, 3 * HIDDEN, HIDDEN, axis=1)
    d.answer(d.squeeze(d.add("GRU", "x", w, r, "", "", d.state()[0], hidden_size=HIDDEN), 1))


def lstm_of_batch_first(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm(d.add("Transpose", "x", perm=[1, 0, 2])), 1))


def sequence_lens(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", lens=d.tensor([1], np.int32)), 1))


def peepholes(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", P=d.tensor(d.random(1, 3 * HIDDEN))), 1))


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
    "linear_before_reset": (gru, UnsupportedError, "GRU 'gru': linear_before_reset is 0, wanted 1"),
    "axes of an LSTM": (lstm_of_batch_first, UnsupportedError, "axes (batch, time, feature), wanted (time, batch"),
    "reverse": (of_lstm(direction="reverse"), UnsupportedError, "it runs backward from an initial state, wanted none"),
    "bidirectional": (of_lstm(direction="bidirectional"), UnsupportedError, "direction is 'bidirectional', wanted"),
    "layout": (of_lstm(layout=1), UnsupportedError, "layout is 1, wanted 0"),
    "clip": (of_lstm(clip=3.0), UnsupportedError, "clip is 3.0, wanted 0.0"),
    "input_forget": (of_lstm(input_forget=1), UnsupportedError, "input_forget is 1, wanted 0"),
    "activations": (of_lstm(activations=["Sigmoid", "Tanh", "Relu"]), UnsupportedError, "wanted sigmoid, tanh, tanh"),
    "peepholes": (peepholes, UnsupportedError, "LSTM 'lstm': it has peepholes"),
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
