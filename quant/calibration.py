"""Quantizing with calibration streams: observe, weigh, choose precisions, round, and judge what was held out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..runtime.arrays import Floats
from ..runtime.contract import Contract
from ..runtime.errors import QuantizationError
from ..runtime.lowering.integer import Exponents
from ..runtime.operators.matrix import FLOAT
from ..runtime.precision import Precision
from ..runtime.program import Program
from .file.weights import Weight
from .integer.exponents import exponents_of
from .moments.moments import BY_ROW, METHODS, Key, Moments, gather, has_small_sums
from .moments.sums import Sum, matrix, sums_of
from .observing.calibration_streams import Streams
from .observing.judge import judge_of
from .observing.observation import Segment, every_frame, observe
from .observing.ranges import WAYS, Magnitudes, bits_of, check_way, magnitudes, ranges_of, with_most_bits, with_ranges
from .rounding.budget import Assignment, Option, bytes_of, frontier, ladder, within
from .rounding.compensated import DAMPING
from .rounding.nearest import dequantized
from .rounding.rounded_program import Place, Rounded, Rounding, places_of, quantized, round_program

NEAREST = "nearest"
CHOICES = {  # what a method may come down to: that with the least error on what was held out
    None: (NEAREST, *METHODS),
    NEAREST: (NEAREST,),
    "compensated": ("compensated",),
    "guided": ("guided", BY_ROW),
}
PROBE_PRODUCTS = 2**31  # frames times weights streamed to measure one option of one weight
FEWEST_PROBED = 500
DAMPINGS = (5e-2, 1e-3)  # tried beside the usual one, with the best method
ATTEMPTS = 4  # to meet an error that is stated: the errors of weights add up only about
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Budget:
    """What precisions may cost.

    Attributes:
        extra: Part of the bytes of the precisions asked for that may be spent beyond them, where it helps most.
        most_bytes: Most bytes of the file; then precisions may fall as well as rise.
        most_error: Most error of the output on what was held out; then the cheapest that meets it are wanted.
        beside: Bytes of the file that are not codes and scales.
    """

    extra: float = 0.05
    most_bytes: int | None = None
    most_error: float | None = None
    beside: int = 0

    @property
    def stated(self) -> bool:
        """Whether bytes or an error are stated."""
        return self.most_bytes is not None or self.most_error is not None


class Correction(NamedTuple):
    """What is added to the bias of what reads a weight.

    Attributes:
        weight: Name of the weight.
        added: One value a row.
        to_hidden: What is added to R h apart, one value a row.
    """

    weight: str
    added: Floats
    to_hidden: Floats | None


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What calibration chose.

    Attributes:
        precisions: By the weights' names, as all that follows.
        codes: Codes and scales.
        corrections: What biases change by.
        method: The method with the least error.
        candidates: Error of the output on what was held out, by method tried.
        options: What was measured of each weight.
        gates: Error of the output where one gate of one weight alone is quantized.
    """

    precisions: dict[str, Precision]
    codes: dict[str, Rounded]
    corrections: list[Correction]
    method: str
    candidates: dict[str, float]
    options: dict[str, list[Option]]
    gates: dict[str, dict[str, float]]


class Calibration:
    """One quantization with streams.

    Args:
        program: The float program.
        contract: Its contract.
        streams: What to calibrate and to judge on.
        method: `nearest`, `compensated` or `guided`; None: what is best on the held-out part.
        ranges: What the ranges of activations are made by, a name of `WAYS`; None: each frame has its own.
        progress: Is told of the share done.

    Raises:
        QuantizationError: There is no such method or way.
    """

    def __init__(
        self,
        program: Program,
        contract: Contract,
        streams: Streams,
        *,
        method: str | None,
        ranges: str | None,
        progress: Progress | None,
    ) -> None:
        if method not in CHOICES:
            raise QuantizationError(f"method is {method!r}, wanted nearest, compensated or guided")
        if ranges is not None:
            check_way(ranges)
        self.ranges, self.met = ranges, list[Magnitudes]()
        self.program, self.contract, self.streams = every_frame(program), contract, streams
        self.methods = [one for one in CHOICES[method] if one != BY_ROW or has_small_sums(self.program)]
        self.places = places_of(program)
        self._steps = _Steps(progress)
        self._roundings: dict[tuple[str, Precision], Rounding] = {}  # of weights alone
        weights = sum(m.codes.size for op in program.ops for m in op.record().matrices)
        self.held = judge_of(self.program, contract, streams, held=True, frames=streams.count)
        probed = max(PROBE_PRODUCTS // max(weights, 1), FEWEST_PROBED)
        self.probe = judge_of(self.program, contract, streams, held=False, frames=probed)
        self.moments = self._gather()

    def choose(
        self, weights: Sequence[Weight], asked: Mapping[str, Precision], pinned: set[str], budget: Budget
    ) -> Calibrated:
        """Return precisions and rounding for a budget.

        Args:
            weights: The weights of the graph; those that several operators read, and tables, are left to be rounded
                to nearest.
            asked: Precisions asked for, by name.
            pinned: Names whose precision stays what was asked for.
            budget: What precisions may cost.

        Raises:
            QuantizationError: The budget cannot be met.
        """
        mine = [w for w in weights if not w.reason and asked[w.name].weight_bits != FLOAT]
        placed = [w for w in mine if w.name in self.places and self._shape(w.name) == w.shape]
        options = self._measured({w.name: _ladder(w, asked[w.name], w.name in pinned, budget) for w in placed})
        assignments = frontier(list(options.values()))
        plain = sum(bytes_of(w.shape, asked[w.name]) for w in placed)
        others = budget.beside + sum(bytes_of(w.shape, asked[w.name]) for w in mine) - plain
        most = (1 + budget.extra) * plain if not budget.stated else (budget.most_bytes or np.inf) - others
        target = budget.most_error or 0.0
        for _ in range(ATTEMPTS):
            chosen = within(assignments, most, target)
            if chosen is None:
                break
            found = self._rounded(dict(zip(options, chosen.chosen, strict=True)), options)
            error = min(found.candidates.values())
            if budget.most_error is None or error <= budget.most_error:
                self._steps.end()
                return found
            target *= 0.9 * budget.most_error / error
        raise _unmet(budget, assignments, others)

    def exponents(self) -> dict[int, Exponents]:
        """Return the exponents of what may compute in integers, by its place in the program."""
        return exponents_of(self.program, self._observed(lambda _: None))

    def ranges_of(self, program: Program) -> dict[str, np.float32]:
        """Return the ranges of what a quantized program's matrices read, by name; none if each frame has its own."""
        return {} if self.ranges is None else ranges_of(self.program, self.met, bits_of(program), self.ranges)

    def readings(self, program: Program) -> dict[str, float]:
        """Return the error on what is held out, had activations been read otherwise; none if no ranges are asked for.

        Args:
            program: A quantized program whose matrices read by each frame.
        """
        if self.ranges is None:
            return {}
        bits = bits_of(program)
        ways = {way: with_ranges(program, ranges_of(self.program, self.met, bits, way)) for way in WAYS}
        ways |= {"by frame": program, "16 bits by frame": with_most_bits(program)}
        return {way: self.held.error(one) for way, one in ways.items()}

    # ---- steps ----

    def _observed(self, seen: Callable[[int], None]) -> list[Segment]:
        return observe(self.program, self.contract, self.streams, seen)

    def _gather(self) -> dict[str, dict[Key, Moments]]:
        methods = [method for method in self.methods if method != NEAREST]
        if not methods and self.ranges is None:
            return {}
        steps = self._steps
        seen = steps.phase("observing", self.streams.count)
        segments = self._observed(seen)
        seen = steps.phase("gathering", self.streams.count)
        self.met = magnitudes(segments) if self.ranges is not None else []
        return gather(self.program, segments, _scales(self.program, segments), methods, seen)

    def _measured(self, ladders: Mapping[str, list[Precision]]) -> dict[str, list[Option]]:
        """Measure what each precision of each weight does to the output when it alone is quantized."""
        seen = self._steps.phase("measuring", sum(map(len, ladders.values())))
        found: dict[str, list[Option]] = {}
        for name, precisions in ladders.items():
            found[name] = []
            for precision in precisions:
                error = self.probe.error(self._alone(name, precision, self._sums(name)))
                found[name].append(Option(precision, bytes_of(self._shape(name), precision), error))
                seen(1)
        return found

    def _rounded(self, precisions: dict[str, Precision], options: dict[str, list[Option]]) -> Calibrated:
        """Round all weights by each method and keep the best."""
        places = {self.places[name]: precision for name, precision in precisions.items()}
        count = sum(matrix(self.program.ops[place[0]], place[1]).codes.size for place in places)
        seen = self._steps.phase("rounding", count * (len(set(self.methods) - {NEAREST}) + len(DAMPINGS)))
        candidates, best, made = {}, "", Rounding()
        for method in self.methods:
            candidates[method], one = self._tried(places, method, DAMPING, seen)
            best, made = (method, one) if candidates[method] <= min(candidates.values()) else (best, made)
        for damping in DAMPINGS if best != NEAREST else ():
            error, one = self._tried(places, best, damping, seen)
            candidates[f"{best}, damping {damping:g}"] = error
            made = one if error <= min(candidates.values()) else made
        codes = {name: made.matrices[self.places[name]] for name in precisions}
        gates = {name: self._gates(name, precision) for name, precision in precisions.items()}
        return Calibrated(precisions, codes, self._corrections(made), best, candidates, options, gates)

    def _corrections(self, made: Rounding) -> list[Correction]:
        names = {index: name for name, (index, _) in self.places.items()}
        found = []
        for index in dict.fromkeys(index for index, _ in made.biases):
            op = self.program.ops[index]
            added = made.biases.get((index, "bias"), np.zeros(len(matrix(op, "w").codes), np.float32))
            own = made.biases.get((index, "candidate_bias"))
            padded = None if own is None else np.concatenate([np.zeros(len(added) - len(own), np.float32), own])
            found.append(Correction(names[index], added, padded))
        return found

    # ---- inside ----

    def _first(self) -> str:
        """Return the method that measures: by gate, where it was asked for."""
        return next((m for m in ("guided", "compensated") if m in self.moments), NEAREST)

    def _tried(
        self, places: dict[Place, Precision], method: str, damping: float, seen: Callable[[int], None]
    ) -> tuple[float, Rounding]:
        """Return the error on what is held out, and what it comes from."""
        made = round_program(self.program, places, self.moments.get(method), seen, damping)
        program = quantized(self.program, made)
        return self.held.error(with_ranges(program, self.ranges_of(program))), made

    def _alone(self, name: str, precision: Precision, sums: Sequence[Sum]) -> Program:
        """Return the float program with some sums of one weight as its codes would say, and their biases."""
        place = index, field = self.places[name]
        if (name, precision) not in self._roundings:
            self._roundings[name, precision] = round_program(
                self.program, {place: precision}, self.moments.get(self._first())
            )
        made = self._roundings[name, precision]
        codes, op = made.matrices[place], self.program.ops[index]
        before, biases = matrix(op, field), {key: np.zeros_like(added) for key, added in made.biases.items()}
        values, rounded = before.codes.copy(), dequantized(codes.codes, codes.scales, precision.group)
        for one in sums:
            values[one.rows] = rounded[one.rows]
            if (index, one.bias) in biases:
                biases[index, one.bias][one.bias_rows] = made.biases[index, one.bias][one.bias_rows]
        values = np.where(np.abs(values) < 2.0**-40, 0, values).astype(np.float32)  # as the engine takes floats
        changed: dict[str, Any] = {field: replace(before, codes=values)}
        ops = (*self.program.ops[:index], replace(op, **changed), *self.program.ops[index + 1 :])
        return quantized(replace(self.program, ops=ops), Rounding({}, biases))

    def _sums(self, name: str) -> list[Sum]:
        index, field = self.places[name]
        return [one for one in sums_of(self.program.ops[index]) if field in one.matrices]

    def _gates(self, name: str, precision: Precision) -> dict[str, float]:
        """Return the error of the output where one gate of one weight alone is quantized."""
        sums = self._sums(name)
        if len(sums) == 1:
            return {}
        return {one.gate: self.probe.error(self._alone(name, precision, [one])) for one in sums}

    def _shape(self, name: str) -> tuple[int, int]:
        index, field = self.places[name]
        rows, columns = matrix(self.program.ops[index], field).codes.shape
        return rows, columns


def _scales(program: Program, segments: list[Segment]) -> list[float]:
    """Return one over the root mean square of each output, so that all count the same."""
    found = []
    for _, value in program.outputs:
        power = sum(float(np.sum(s.values[value].astype(np.float64) ** 2)) for s in segments)
        count = sum(s.values[value].size for s in segments)
        found.append(float(np.sqrt(count / power)) if power > 0 else 0.0)
    return found


def _ladder(weight: Weight, asked: Precision, pinned: bool, budget: Budget) -> list[Precision]:
    rows, columns = weight.shape
    return [asked] if pinned else ladder(asked, (rows, columns), blocked=weight.blocked, upwards=not budget.stated)


def _unmet(budget: Budget, assignments: list[Assignment], others: int) -> QuantizationError:
    least, best = assignments[0], assignments[-1]
    asked = [f"at most {budget.most_bytes} bytes"] if budget.most_bytes is not None else []
    asked += [f"an error of at most {budget.most_error:g}"] if budget.most_error is not None else []
    return QuantizationError(
        f"no precisions of the weights give {' and '.join(asked)}: the smallest file has about "
        f"{least.bytes + others} bytes and an error of {least.error:.2g}, the most exact {best.bytes + others} and "
        f"{best.error:.2g}"
    )


class _Steps:
    """Progress through phases, whose shares of the time are about those of an LSTM with a million weights."""

    SHARES: ClassVar = {"observing": 0.1, "gathering": 0.3, "measuring": 0.3, "rounding": 0.3}

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._before, self._share = progress, 0.0, 0.0

    def end(self) -> None:
        """Nothing is left to do."""
        if self._progress is not None:
            self._progress(1.0)

    def phase(self, name: str, count: int) -> Callable[[int], None]:
        """Begin a phase; return what is told of things done in it."""
        self._before, self._share = self._before + self._share, self.SHARES[name]
        before, share, done = self._before, self._share, 0

        def seen(more: int) -> None:
            nonlocal done
            done += more
            if self._progress is not None:
                self._progress(min(before + share * done / max(count, 1), 1.0))

        return seen
