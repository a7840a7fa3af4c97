"""Matching of a step's next states with the formulas of ONNX's LSTM, GRU and RNN."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.errors import UnsupportedError
from .gates import Affine, Function, Gate, Variables, activations, affine, gate, gate_of, read, without
from .sums import Activation, Atoms, Monomial, Sum, rows

NO_PRODUCT = "wanted an activation of signal and state, or of a reset gate times what the state adds"


@dataclass(frozen=True)
class Matched:
    """A cell of ONNX that computes the same.

    Attributes:
        operator: `LSTM`, `GRU` or `RNN`.
        attributes: The attributes that differ from ONNX's defaults, and hidden_size.
        weights: W `[1, gates * hidden, signal]`, R, B, and P if it has peepholes, float32, as ONNX orders them.
        projection: `[projected, hidden]` of the hidden state, float32; None if there is none.
    """

    operator: str
    attributes: dict[str, Any]
    weights: dict[str, Floats]
    projection: Floats | None = None


def match_lstm(atoms: Atoms, variables: Variables, next_h: Sequence[Sum], next_c: Sequence[Sum]) -> Matched:
    """Return the LSTM whose next states these are.

    Raises:
        UnsupportedError: There is none; the message names the value that does not fit.
    """
    updates = [_cell_update(atoms, of, number) for of, number in zip(next_c, variables.c, strict=True)]
    form = {update.form for update in updates}
    if len(form) > 1:
        raise UnsupportedError(f"its cell state is updated in several ways ({', '.join(sorted(form))}), wanted one")
    outputs, last, projection = _lstm_output(atoms, next_h, next_c)
    peepholes, out = _output_gate(atoms, variables, outputs, next_c)
    new = gate(atoms, variables, [update.new for update in updates])
    own = gate(atoms, variables, [update.own for update in updates])
    coupled = form != {"plain"}
    if coupled:
        own = own.complement() if form == {"forget"} else own
        forget = own
    else:
        forget, own = own, gate(atoms, variables, [update.other for update in updates])
    function, clip, _ = read(atoms, last)
    gates = [own, out, forget, new]
    names = _functions([(own, out, forget), (new,)], [function])
    given = {**names, **_clip([*(one.clip for one in gates), clip]), **({"input_forget": 1} if coupled else {})}
    holes = [own.form.p, peepholes, np.zeros_like(peepholes) if coupled else forget.form.p]
    if new.form.p.any() or out.form.p.any():
        raise UnsupportedError("its new value or output gate reads the cell's old state, which no LSTM has")
    weights = _weights([one.form for one in gates])
    if np.any(holes):
        weights["P"] = np.concatenate(holes)[None].astype(np.float32)
    return Matched("LSTM", {"hidden_size": len(next_c), **given}, weights, projection)


@dataclass(frozen=True)
class _Update:
    """The update of one unit: `own` is the forget gate, or the only gate if both are coupled."""

    form: str
    own: int
    other: int
    new: int


def _cell_update(atoms: Atoms, of: Sum, c: int) -> _Update:
    """Return the gates of c' = f c + i g; form is "plain", "forget" if i = 1 - f, "input" if f = 1 - i."""
    kept = {monomial: factor for monomial, factor in of.items() if c in monomial}
    rest = {monomial: factor for monomial, factor in of.items() if c not in monomial}
    products = [monomial for monomial in kept if len(monomial) == 2]
    own = next((n for n in products[0] if n != c), -1) if len(products) == 1 else -1
    pair = next((monomial for monomial in rest if len(monomial) == 2), None)
    if own >= 0 and pair is not None:
        if kept == {products[0]: 1.0} and rest == {pair: 1.0}:
            return _Update("plain", own, *_gate_first(atoms, pair, own))
        new = next((n for n in pair if n != own), own)
        if kept == {products[0]: 1.0} and rest == {(new,): 1.0, pair: -1.0} and own in pair:
            return _Update("forget", own, own, new)
        if kept == {(c,): 1.0, products[0]: -1.0} and rest == {pair: 1.0} and own in pair:
            return _Update("input", own, own, new)
    raise UnsupportedError(
        f"the next cell state is {atoms.text(of)!r}, wanted a forget gate times {atoms[c].name!r} plus an input gate "
        "times a new value"
    )


def _gate_first(atoms: Atoms, pair: Monomial, forget: int) -> tuple[int, int]:
    """Return input gate and new value: the gate has the activation of the forget gate."""
    own, first, second = (
        (atom.function, atom.options) if isinstance(atom := atoms[n], Activation) else None for n in (forget, *pair)
    )
    return (pair[1], pair[0]) if second == own != first else (pair[0], pair[1])


def _lstm_output(
    atoms: Atoms, next_h: Sequence[Sum], next_c: Sequence[Sum]
) -> tuple[list[int], list[Activation], Floats | None]:
    """Return the output gates and the activations of the cell state of all units, and the projection of h."""
    found, columns = rows(atoms, next_h), {}
    by_state = {tuple(sorted(of.items())): place for place, of in enumerate(next_c)}
    for monomial, factors in found.items():
        unit = _output_unit(atoms, monomial, by_state)
        if unit is None:
            raise UnsupportedError(
                f"the next hidden state holds {atoms.text({monomial: 1.0})!r}, wanted an output gate times an "
                "activation of the next cell state"
            )
        columns[unit[0]] = (unit[1], unit[2], factors)
    if sorted(columns) != list(range(len(next_c))):
        raise UnsupportedError(f"the next hidden state reads {len(columns)} cells of {len(next_c)}, wanted all")
    units = [columns[place] for place in range(len(next_c))]
    projection = np.stack([factors for *_, factors in units], 1)
    square = projection.shape[0] == projection.shape[1] and np.array_equal(projection, np.eye(len(projection)))
    last = activations(atoms, [number for _, number, _ in units])
    return [number for number, *_ in units], last, None if square else projection.astype(np.float32)


def _output_unit(atoms: Atoms, monomial: Monomial, by_state: dict[tuple[Any, ...], int]) -> tuple[int, int, int] | None:
    """Return the unit whose output a product is, its output gate, and the activation of its cell state."""
    for gated, last in (monomial, monomial[::-1]) if len(monomial) == 2 else ():
        atom = atoms[last]
        if isinstance(atom, Activation):
            _, _, (of,) = read(atoms, [atom])
            place = by_state.get(tuple(sorted(of.items())))
            if place is not None:
                return place, gated, last
    return None


def _output_gate(
    atoms: Atoms, variables: Variables, numbers: Sequence[int], next_c: Sequence[Sum]
) -> tuple[Array, Gate]:
    """Return the peepholes of the output gate, which read the next cell state, and the gate without them."""
    own = activations(atoms, numbers)
    function, clip, sums = read(atoms, own)
    parts = [without(of, state) for of, state in zip(sums, next_c, strict=True)]
    made = gate_of(atoms, variables, function, clip, [rest for _, rest in parts], own[0].name)
    slope = made.function[1][0] if function[0] == "Clip" else 1.0
    return np.array([factor for factor, _ in parts]) / slope, made


def match_gru(atoms: Atoms, variables: Variables, next_h: Sequence[Sum]) -> Matched:
    """Return the GRU whose next state this is.

    Raises:
        UnsupportedError: There is none; the message names the value that does not fit.
    """
    units = [_mixed(atoms, of, h) for of, h in zip(next_h, variables.h, strict=True)]
    kept = {unit[0] for unit in units}
    if len(kept) > 1:
        raise UnsupportedError("its update gate is z for some units and 1 - z for others, wanted one of them")
    update = gate(atoms, variables, [unit[1] for unit in units])
    update = update if kept == {True} else update.complement()
    new = activations(atoms, [unit[2] for unit in units])
    function, clip, sums = read(atoms, new)
    parts = [_after(atoms, of, variables) for of in sums]
    inner: Affine | None = None
    if any(reset is not None for reset, *_ in parts):
        numbers, form, inner = _reset_after(atoms, variables, parts, new[0].name)
    else:
        numbers, form = _reset_before(atoms, variables, sums, new[0].name)
    reset = gate(atoms, variables, numbers)
    weights = _weights([update.form, reset.form, form], inner)
    given = {**_functions([(update, reset), ()], [function]), **_clip([update.clip, reset.clip, clip])}
    after = {"linear_before_reset": 1} if inner is not None else {}
    return Matched("GRU", {"hidden_size": len(next_h), **given, **after}, weights)


def _mixed(atoms: Atoms, of: Sum, h: int) -> tuple[bool, int, int]:
    """Return the update gate z and the new value n of h' = z h + (1 - z) n; False first if it is (1 - z) h + z n."""
    pair = next((monomial for monomial in of if len(monomial) == 2 and h in monomial), None)
    z = next((n for n in pair if n != h), -1) if pair else -1
    other = next((monomial for monomial in of if len(monomial) == 2 and z in monomial and h not in monomial), None)
    if pair is not None and other is not None:
        new = next((n for n in other if n != z), z)
        if of == {pair: 1.0, (new,): 1.0, other: -1.0}:
            return True, z, new
        if of == {(h,): 1.0, pair: -1.0, other: 1.0}:
            return False, z, new
    raise UnsupportedError(
        f"the next state is {atoms.text(of)!r}, wanted z {atoms[h].name} + (1 - z) n with a gate z and a new value n"
    )


def _after(atoms: Atoms, of: Sum, variables: Variables) -> tuple[int | None, Sum, Sum]:
    """Return the reset gate of a new value, what it multiplies, and the rest; None if it multiplies nothing here."""
    gated = [n for monomial in of for n in monomial if isinstance(atoms[n], Activation)]
    if not gated:
        return None, {}, of
    reset = gated[0]
    inner = {tuple(n for n in m if n != reset): factor for m, factor in of.items() if reset in m}
    rest = {m: factor for m, factor in of.items() if reset not in m}
    if any(len(m) > 1 or (m and m[0] in variables.x) for m in inner):
        raise UnsupportedError(f"value {atoms[reset].name!r} multiplies {atoms.text(inner)!r}, {NO_PRODUCT}")
    return reset, inner, rest


def _reset_after(
    atoms: Atoms, variables: Variables, parts: Sequence[tuple[int | None, Sum, Sum]], name: str
) -> tuple[list[int], Affine, Affine]:
    """Return the reset gates, and the forms outside and inside of their product."""
    numbers = [reset for reset, *_ in parts if reset is not None]
    if len(numbers) < len(parts):
        raise UnsupportedError(f"value {name!r} has a reset gate for some units only, wanted one for each")
    inner = affine(atoms, variables, [inner for _, inner, _ in parts], name)
    form = affine(atoms, variables, [rest for *_, rest in parts], name)
    if inner.w.any() or form.r.any():
        raise UnsupportedError(f"value {name!r} multiplies the signal by a reset gate, or not all of the state")
    return numbers, Affine(form.w, inner.r, form.p, form.b), inner


def _reset_before(atoms: Atoms, variables: Variables, sums: Sequence[Sum], name: str) -> tuple[list[int], Affine]:
    """Return the reset gates, and the form of signal and gated state."""
    found = rows(atoms, sums)
    gated = {h: monomial for monomial in found for h in monomial if len(monomial) == 2 and h in variables.h}
    if sorted(gated) != sorted(variables.h):
        raise UnsupportedError(f"value {name!r} multiplies no reset gate by each value of the state, {NO_PRODUCT}")
    numbers = [next((n for n in gated[h] if n != h), h) for h in variables.h]
    plain: list[Sum] = [{} for _ in sums]
    for monomial, factors in found.items():
        own = tuple(n for n in monomial if n in variables.h) if monomial in gated.values() else monomial
        for place in np.flatnonzero(factors):
            plain[place][own] = plain[place].get(own, 0.0) + float(factors[place])
    if any((h,) in found for h in variables.h):
        raise UnsupportedError(f"value {name!r} reads the state with and without a reset gate, {NO_PRODUCT}")
    return numbers, affine(atoms, variables, plain, name)


def match_rnn(atoms: Atoms, variables: Variables, next_h: Sequence[Sum]) -> Matched:
    """Return the RNN whose next state this is.

    Raises:
        UnsupportedError: There is none; the message names the value that does not fit.
    """
    for of in next_h:
        if [(len(monomial), factor) for monomial, factor in of.items()] != [(1, 1.0)]:
            raise UnsupportedError(f"the next state is {atoms.text(of)!r}, wanted an activation of signal and state")
    new = gate(atoms, variables, [monomial[0] for of in next_h for monomial in of])
    given = {**_functions([(new,)], []), **_clip([new.clip])}
    return Matched("RNN", {"hidden_size": len(next_h), **given}, _weights([new.form]))


_ALPHA, _BETA = {"Elu": 1.0, "HardSigmoid": 0.2, "LeakyRelu": 0.01, "ThresholdedRelu": 1.0}, {"HardSigmoid": 0.5}


def _functions(groups: Sequence[Sequence[Gate]], more: Sequence[Function]) -> dict[str, Any]:
    """Return the attributes of the activations, one for each group of gates that share theirs."""
    functions = [{one.function for one in group} for group in groups if group]
    for shared in functions:
        if len(shared) > 1:
            several = ", ".join(sorted(name for name, _ in shared))
            raise UnsupportedError(f"its gates have the activations {several}, wanted the same for all gates")
    listed = [*(shared.pop() for shared in functions), *more]
    names = [name for name, _ in listed]
    usual = ["Sigmoid", *["Tanh"] * (len(listed) - 1)] if len(listed) > 1 else ["Tanh"]
    if names == usual:
        return {}
    given: dict[str, Any] = {"activations": names}
    alphas = [float(options[0]) for name, options in listed if name in _ALPHA]
    betas = [float(options[1]) for name, options in listed if name in _BETA]
    return given | ({"activation_alpha": alphas} if alphas else {}) | ({"activation_beta": betas} if betas else {})


def _clip(bounds: Sequence[float | None]) -> dict[str, float]:
    """Return the attribute of the limit that all activations share."""
    if len(set(bounds)) > 1:
        raise UnsupportedError("it limits what some of its activations read, wanted all of them or none")
    return {} if bounds[0] is None else {"clip": bounds[0]}


def _weights(forms: Sequence[Affine], inner: Affine | None = None) -> dict[str, Floats]:
    """Return W, R and B; `inner` has the bias that a GRU's reset gate multiplies."""
    units = len(forms[0].b)
    recurrent = [np.zeros(units)] * len(forms)
    if inner is not None:
        recurrent[-1] = inner.b
    parts = {
        "W": np.concatenate([form.w for form in forms]),
        "R": np.concatenate([form.r for form in forms]),
        "B": np.concatenate([*(form.b for form in forms), *recurrent]),
    }
    return {name: values[None].astype(np.float32) for name, values in parts.items()}
