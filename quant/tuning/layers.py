"""Fine-tuning: training a module with the arithmetic of the engine, to regain what rounding lost."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ...export import export_model
from ...runtime.arrays import Array
from ...runtime.cells import STANDARD, CellKind
from ...runtime.errors import QuantizationError
from ...runtime.graph.graph import Graph
from ...runtime.lowering.lower import lower
from ...runtime.operators.matrix import FLOAT, Reading, activation_bits
from ..file.weight_precisions import DEFAULT, choose
from ..file.weights import weights_of
from .arithmetic import Format, without_tiny
from .straight_through import Cell, Tensors, affine, gru, lstm, relu_rnn, rnn, straight

_M = TypeVar("_M", bound=nn.Module)
CELLS: dict[type, CellKind] = {getattr(nn, cell.torch): cell for cell in STANDARD.values()}


def tunable(model: _M, example: object, precision: str | Mapping[str, str] = DEFAULT) -> _M:
    """Return a copy of a module that computes with quantized weights and activations, ready to be trained.

    The copy's `nn.LSTM`, `nn.GRU`, `nn.RNN`, `nn.Linear`, `nn.Conv1d` and `nn.Embedding` compute on a CPU the same bits
    as tidegate's engine on the quantized file. Gradients go straight through the rounding to float32 weights with
    unchanged names. A bidirectional layer computes as a stream of one block does. All other operations are torch's:
    sums, products, quotients and ReLU equal the engine's to the bit, functions such as exp or softmax to about 1e-7.
    Dropout makes values of h beyond 1; in training they are not clamped.

    Train the copy like any module. Then `export_model(tuned, example, path)` writes its float weights, and
    `quantize(path, target, precision=precision)` without calibration rounds them as the copy did.

    Args:
        model: A float32 module that `export_model` takes. It is not changed.
        example: An example of its signal, as `export_model` takes it.
        precision: As in `quantize`; patterns match the names in the exported file. Layers that stay float32 are
            computed by torch.

    Raises:
        ExportError: The module cannot be exported; see `export_model` for its other errors.
        QuantizationError: A precision does not exist, or a weight to be quantized belongs to another kind of layer.
    """
    formats = _formats(model, example, precision)
    tuned, placed = copy.deepcopy(model), set[Key]()
    for name, child in tuned.named_modules():
        keys = [_key(values) for values in _matrices(child)]
        found = tuple(formats[key].format for key in keys if key in formats)
        if found and len(found) < len(keys):
            raise QuantizationError(f"{name}: some of its weights are quantized and some not; give all one precision")
        if found:
            _check_options(name, child)
            placed.update(keys)
            child.__class__, child.formats = TWINS[type(child)], found
    others = [one.name for key, one in formats.items() if key not in placed]
    if others:
        raise QuantizationError(
            f"no nn.LSTM, GRU, RNN, Linear, Conv1d or Embedding of the module holds {', '.join(others)} as the file "
            "does: leave such weights float32, by a pattern of their own"
        )
    return tuned


# ---- the format of each weight ----

Key = tuple[tuple[int, ...], bytes]


class _Placed(NamedTuple):
    """A weight of a file and its format."""

    name: str
    format: Format


def _formats(model: nn.Module, example: object, precision: str | Mapping[str, str]) -> dict[Key, _Placed]:
    """Return the format of each weight to be quantized, by its values in the file's order."""
    with TemporaryDirectory(prefix="tidegate-") as folder:
        path = Path(folder) / "float.onnx"
        export_model(model, example, path)
        graph = Graph.load(path)
    readings = {m.name: m.reading for op in lower(graph).ops for m in op.record().matrices}
    weights, found = weights_of(graph), dict[Key, _Placed]()
    precisions = choose(precision, weights)
    for weight in weights:
        chosen = precisions[weight.name]
        if weight.reason or chosen.weight_bits == FLOAT:
            continue
        values, group = weight.by_channel(), chosen.group
        bits = activation_bits(values.shape[1], chosen.activation_bits, chosen.weight_bits, group)
        form = Format(chosen.weight_bits, group, bits, readings.get(weight.name, Reading.FRAME))
        before = found.setdefault(_key(values), _Placed(weight.name, form))
        if before.format != form:
            raise QuantizationError(
                f"{before.name} and {weight.name} hold the same values but have different precisions; give them one"
            )
    return found


def _key(values: Array) -> Key:
    return values.shape, np.ascontiguousarray(values).tobytes()


def _matrices(module: nn.Module) -> Iterator[Array]:
    """Give the weight matrices of a layer in the file's order, `[channels, inputs]`."""
    if type(module) in CELLS:
        order = CELLS[type(module)].torch_places
        for name in _names(module, "weight_ih", "weight_hh"):
            gates = np.split(_values(getattr(module, name)), len(order))
            yield np.concatenate([gates[gate] for gate in order])
    elif type(module) in TWINS:
        values = _values(module.weight)
        yield values.reshape(len(values), -1)


def _values(weight: Any) -> Array:  # noqa: ANN401  a parameter
    values: Array = weight.detach().cpu().numpy()
    return values


def _names(module: Any, *kinds: str) -> list[str]:  # noqa: ANN401  a recurrent layer
    return [f"{kind}_{place}" for place in _places(module) for kind in kinds]


def _places(module: Any) -> list[str]:  # noqa: ANN401  a recurrent layer
    """Return how the names of the weights of each layer and direction end, in torch's order."""
    ways = ("", "_reverse") if module.bidirectional else ("",)
    return [f"l{layer}{way}" for layer in range(module.num_layers) for way in ways]


def _check_options(name: str, module: Any) -> None:  # noqa: ANN401  any layer
    if getattr(module, "proj_size", 0):
        raise QuantizationError(
            f"{name}: layers that have a proj_size cannot be tuned; leave it float32: precision={{'*': 'W8A16', "
            f"'{name}.*': 'float32'}}"
        )


# ---- the layers ----


class _Recurrent(nn.RNNBase):
    """The tunable recurrent layers' common part: stacked layers with dropout between them."""

    exported_as: type[nn.RNNBase]
    formats: tuple[Format, ...]

    def _run(self, x: Tensor, start: Tensors | None) -> tuple[Tensor, Tensors]:
        """Return the answers and the last states. The axes of x are those of the torch layer; start None: zeros."""
        if not isinstance(x, Tensor):
            raise TypeError(f"got {type(x).__name__}, wanted a tensor: packed sequences cannot be tuned on")
        signal = x if x.dim() == 3 else x.unsqueeze(0 if self.batch_first else 1)
        y = signal.transpose(0, 1) if self.batch_first else signal
        ways = 2 if self.bidirectional else 1
        shape = (self.num_layers * ways, y.shape[1], self.hidden_size)
        states = start or [x.new_zeros(shape)] * self.states
        states, last = [state.reshape(shape) for state in states], []
        for layer in range(self.num_layers):
            places = range(layer * ways, (layer + 1) * ways)
            made = [self._direction(place, y, [state[place] for state in states]) for place in places]
            y = torch.cat([answer for answer, _ in made], -1)
            last += [after for _, after in made]
            if self.dropout and layer + 1 < self.num_layers:
                y = nn.functional.dropout(y, self.dropout, self.training)
        y = y.transpose(0, 1) if self.batch_first else y
        ends = [torch.stack(parts) for parts in zip(*last, strict=True)]
        if x.dim() == 3:
            return y, ends
        return y.squeeze(0 if self.batch_first else 1), [end.squeeze(1) for end in ends]

    def _direction(self, place: int, x: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        """Run one direction of a layer; its place is that among all directions of all layers."""
        name = _places(self)[place]
        weights = [getattr(self, f"weight_{kind}_{name}") for kind in ("ih", "hh")]
        biases = [getattr(self, f"bias_{kind}_{name}", None) for kind in ("ih", "hh")]
        zeros = weights[0].new_zeros(len(weights[0]))
        full = [zeros if bias is None else bias for bias in biases]
        forms, backward = self.formats[2 * place : 2 * place + 2], name.endswith("_reverse")
        y, after = self.cell(x.flip(0) if backward else x, weights, full, state, forms, clamp=not self.training)
        return y.flip(0) if backward else y, after

    @property
    def cell(self) -> Cell:
        """The function that runs one layer."""
        return {"LSTM": lstm, "GRU": gru, "RNN_TANH": rnn, "RNN_RELU": relu_rnn}[self.mode]

    @property
    def states(self) -> int:
        """The number of states of a layer."""
        return len(CELLS[self.exported_as].states)


class TunableLSTM(_Recurrent, nn.LSTM):
    """An `nn.LSTM` with the engine's forward pass."""

    exported_as = nn.LSTM

    def forward(self, x: Tensor, hx: Any = None) -> Any:  # type: ignore[override]  # noqa: ANN401  no packed ones
        """Do what an `nn.LSTM` does."""
        y, (h, c) = self._run(x, None if hx is None else list(hx))
        return y, (h, c)


class TunableGRU(_Recurrent, nn.GRU):
    """An `nn.GRU` with the engine's forward pass."""

    exported_as = nn.GRU

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Do what an `nn.GRU` does."""
        y, (h,) = self._run(x, None if hx is None else [hx])
        return y, h


class TunableRNN(_Recurrent, nn.RNN):
    """An `nn.RNN` with the engine's forward pass."""

    exported_as = nn.RNN

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Do what an `nn.RNN` does."""
        y, (h,) = self._run(x, None if hx is None else [hx])
        return y, h


class TunableLinear(nn.Linear):
    """An `nn.Linear` with the engine's forward pass."""

    exported_as = nn.Linear
    formats: tuple[Format]

    def forward(self, x: Tensor) -> Tensor:
        """Do what an `nn.Linear` does."""
        return affine(x, self.weight, self.bias, self.formats[0], clamp=not self.training)


class TunableConv1d(nn.Conv1d):
    """An `nn.Conv1d` with the engine's forward pass: a linear layer on each frame's window."""

    exported_as = nn.Conv1d
    formats: tuple[Format]

    def forward(self, x: Tensor) -> Tensor:
        """Do what an `nn.Conv1d` of stride 1 does."""
        if self.stride != (1,) or self.groups != 1 or self.padding_mode != "zeros" or isinstance(self.padding, str):
            raise QuantizationError("only convolutions with stride 1, one group and zero padding can be tuned")
        kernel, dilation = self.kernel_size[0], self.dilation[0]
        wide = nn.functional.pad(x, (self.padding[0], self.padding[0]))
        count = wide.shape[-1] - (kernel - 1) * dilation
        taps = [wide[..., at * dilation : at * dilation + count] for at in range(kernel)]
        windows = torch.stack(taps, -1).transpose(-3, -2).flatten(-2)
        weight = self.weight.flatten(1)
        return affine(windows, weight, self.bias, self.formats[0], clamp=not self.training).transpose(-1, -2)


class TunableEmbedding(nn.Embedding):
    """An `nn.Embedding` with a rounded table."""

    exported_as = nn.Embedding
    formats: tuple[Format]

    def forward(self, ids: Tensor) -> Tensor:
        """Do what an `nn.Embedding` does."""
        return without_tiny(nn.functional.embedding(ids, straight(self.weight, self.formats[0]), self.padding_idx))


TWINS: dict[type[nn.Module], type[nn.Module]] = {
    twin.exported_as: twin
    for twin in (TunableLSTM, TunableGRU, TunableRNN, TunableLinear, TunableConv1d, TunableEmbedding)
}
