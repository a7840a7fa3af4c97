"""Calibration: observe the float model on streams, measure precisions, round, and judge on held-out frames."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import ClassVar

import numpy as np

from ..runtime.contract import Contract
from ..runtime.errors import QuantizationError
from ..runtime.lowering.integer import Exponents
from ..runtime.operators.matrix import FLOAT
from ..runtime.program import Program
from .file.weights import Weight
from .integer.exponents import exponents_of
from .moments.moments import BY_CHANNEL, METHODS, Key, Moments, gather, has_small_sums
from .moments.sums import Sum, matrix, sums_of
from .observing.calibration_streams import Streams
from .observing.drift import drift_of
from .observing.judge import judge_of
from .observing.layers import changed
from .observing.observation import Segment, every_frame, observe
from .observing.ranges import RANGE_RULES, Magnitudes, bits_of, magnitudes, ranges_of, with_most_bits, with_ranges
from .report.quantization_report import CalibrationReport
from .rounding.budget import Assignment, Option, bytes_of, frontier, ladder, within
from .rounding.choice import NEAREST, Budget, Choice, Correction
from .rounding.compensated import DAMPING
from .rounding.precision import Precision
from .rounding.rounded_program import Rounding, fields_of, quantized, round_program

METHODS_BY_NAME = {  # what each value of `method` tries; the method that errs least is kept
    None: (NEAREST, *METHODS),
    NEAREST: (NEAREST,),
    "compensated": ("compensated",),
    "guided": ("guided", BY_CHANNEL),
}
PROBE_PRODUCTS = 2**31  # frames times weights streamed to measure one precision of one weight
FEWEST_PROBED = 500  # frames, also for a large model
DAMPINGS = (5e-2, 1e-3)  # tried next to the usual damping, with the best method
ATTEMPTS = 4  # to meet a stated error: the errors of single weights add up only roughly
Progress = Callable[[float], None]


class Calibration:
    """One quantization with streams.

    Args:
        program: The float program.
        contract: Its contract.
        streams: The streams to calibrate and to judge on.
        method: `nearest`, `compensated` or `guided`; None: the one that errs least on the held-out frames.
        ranges: How the ranges of activations are fixed, a name in `RANGE_RULES`; None: each frame has its own range.
        integers: Whether the exponents of integer arithmetic are wanted.
        written: Returns the program of the file that a choice makes.
        progress: Called with the fraction done, 0 to 1.

    Attributes:
        program: The float program, which answers every frame.
        exponents: The exponents of each operation's integer form, by its index. Empty if they are not wanted.
    """

    def __init__(
        self,
        program: Program,
        contract: Contract,
        streams: Streams,
        *,
        method: str | None,
        ranges: str | None,
        integers: bool,
        written: Callable[[Choice], Program],
        progress: Progress | None,
    ) -> None:
        self.program, self.contract, self.streams = every_frame(program), contract, streams
        self.exponents: dict[int, Exponents] = {}
        self._ranges, self._magnitudes, self._written = ranges, list[Magnitudes](), written
        self._methods = [one for one in METHODS_BY_NAME[method] if one != BY_CHANNEL or has_small_sums(self.program)]
        self._fields = fields_of(self.program)
        self._phases = _Phases(progress)
        self._roundings: dict[tuple[str, Precision], Rounding] = {}  # each rounds a single weight
        weights = sum(m.codes.size for op in program.ops for m in op.record().matrices)
        self._held = judge_of(self.program, contract, streams, held=True, frames=streams.count)
        probed = max(PROBE_PRODUCTS // max(weights, 1), FEWEST_PROBED)
        self._probe = judge_of(self.program, contract, streams, held=False, frames=probed)
        self._moments = self._observe(integers=integers)

    def choose(
        self, weights: Sequence[Weight], asked: Mapping[str, Precision], pinned: set[str], budget: Budget
    ) -> Choice:
        """Return the precisions and codes that a budget allows.

        Args:
            weights: The weights of the graph. The choice has no codes for tables, for weights that several operators
                read, and for front ends: they are rounded to nearest. Rounding that cancels errors would make some
                weights of mel bands negative, and a negative power has no logarithm.
            asked: The precisions asked for, by name.
            pinned: Names of the weights that keep the precision asked for.
            budget: What precisions may cost.

        Raises:
            QuantizationError: The budget cannot be met.
        """
        mine = [w for w in weights if not w.reason and asked[w.name].weight_bits != FLOAT]
        rounded = [w for w in mine if w.name not in self.contract.fixed]
        measured = [w for w in rounded if w.name in self._fields and self._shape(w.name) == w.shape]
        options = self._measured({w.name: _ladder(w, asked[w.name], w.name in pinned, budget) for w in measured})
        assignments = frontier(list(options.values()))
        plain = sum(bytes_of(w.shape, asked[w.name]) for w in measured)
        others = budget.other_bytes + sum(bytes_of(w.shape, asked[w.name]) for w in mine) - plain
        most = (1 + budget.extra) * plain if not budget.stated else (budget.most_bytes or np.inf) - others
        target = budget.most_error or 0.0
        for _ in range(ATTEMPTS):
            chosen = within(assignments, most, target)
            if chosen is None:
                break
            found = self._rounded(asked, dict(zip(options, chosen.chosen, strict=True)), options)
            if budget.most_error is None or found.error <= budget.most_error:
                self._phases.end()
                return found
            target *= 0.9 * budget.most_error / found.error
        raise _unmet(budget, assignments, others)

    def most_corrections(self, asked: Mapping[str, Precision]) -> list[Correction]:
        """Return a correction by zeros for each bias that a choice may correct: a layer without biases gains one."""
        if self._methods == [NEAREST]:
            return []
        rounded = {index: name for name, (index, _) in self._fields.items() if asked[name].weight_bits != FLOAT}
        corrected = [index for index in rounded if any(one.bias for one in sums_of(self.program.ops[index]))]
        zeros = {index: np.zeros(len(matrix(self.program.ops[index], "w").codes), np.float32) for index in corrected}
        return [Correction(rounded[index], added, None) for index, added in zeros.items()]

    def ranges_of(self, made: Program) -> dict[str, np.float32]:
        """Return the range of each quantized matrix's activations, by name; empty if each frame has its own range."""
        return {} if self._ranges is None else ranges_of(self.program, self._magnitudes, bits_of(made), self._ranges)

    def readings(self, made: Program) -> dict[str, float]:
        """Return the error on the held-out frames for each rule of fixed ranges, for ranges by frame, and with 16 bits.

        Args:
            made: A quantized program, each frame with its own range.
        """
        made = every_frame(made)
        bits = bits_of(made)
        programs = {
            name: with_ranges(made, ranges_of(self.program, self._magnitudes, bits, name)) for name in RANGE_RULES
        }
        programs |= {"by frame": made, "16 bits by frame": with_most_bits(made)}
        return {name: self._held.error(program) for name, program in programs.items()}

    def error(self, made: Program) -> float:
        """Return the error of a quantized program's outputs together, on the held-out frames."""
        return self._held.error(every_frame(made))

    def report(self, made: Program, choice: Choice, readings: dict[str, float], started: float) -> CalibrationReport:
        """Judge the program of the written file on the held-out frames.

        Args:
            made: The program.
            choice: The choice that it was made from.
            readings: From `readings`; empty without fixed ranges.
            started: The value of `time.perf_counter` at the start of the work.
        """
        made = every_frame(made)
        errors = self._held.errors(made)
        drift = drift_of(self.program, made, self.contract, self.streams)
        return CalibrationReport(
            streams=len(self.streams.frames),
            frames=self.streams.count,
            held_frames=self.streams.held_count,
            complete=self.streams.complete,
            method=choice.method,
            error=float(np.sqrt(np.mean(np.square(list(errors.values()))))),
            errors=errors,
            candidates=choice.candidates,
            readings=readings,
            seconds=perf_counter() - started,
            drift=drift,
        )

    # ---- observing ----

    def _observe(self, *, integers: bool) -> dict[str, dict[Key, Moments]]:
        """Stream through the float model once, if its values are needed; return the moments of each method."""
        methods = [method for method in self._methods if method != NEAREST]
        if not (methods or self._ranges or integers):
            return {}
        segments = observe(
            self.program, self.contract, self.streams, self._phases.begin("observing", self.streams.count)
        )
        seen = self._phases.begin("gathering", self.streams.count)
        if self._ranges:
            self._magnitudes = magnitudes(segments)
        if integers:
            self.exponents = exponents_of(self.program, segments)
        if not methods:
            return {}
        return gather(self.program, segments, _output_weights(self.program, segments), methods, seen)

    # ---- measuring one weight ----

    def _measured(self, ladders: Mapping[str, list[Precision]]) -> dict[str, list[Option]]:
        """Measure the error of the output for each precision of each weight. All other weights stay float."""
        seen = self._phases.begin("measuring", sum(map(len, ladders.values())))
        found: dict[str, list[Option]] = {}
        for name, precisions in ladders.items():
            found[name] = []
            for precision in precisions:
                error = self._probe.error(self._with_one(name, precision, self._sums(name)))
                found[name].append(Option(precision, bytes_of(self._shape(name), precision), error))
                seen(1)
        return found

    def _gates(self, name: str, precision: Precision) -> dict[str, float]:
        """Return the error of the output for each gate of a weight, if only that gate is quantized."""
        sums = self._sums(name)
        if len(sums) == 1:
            return {}
        return {one.gate: self._probe.error(self._with_one(name, precision, [one])) for one in sums}

    def _with_one(self, name: str, precision: Precision, sums: Sequence[Sum]) -> Program:
        """Return the float program with some sums of one weight rounded, and their biases corrected."""
        field = index, matrix_field = self._fields[name]
        if (name, precision) not in self._roundings:
            moments = next((self._moments[m] for m in ("guided", "compensated") if m in self._moments), None)
            self._roundings[name, precision] = round_program(self.program, {field: precision}, moments)
        made, op = self._roundings[name, precision], self.program.ops[index]
        before, biases = matrix(op, matrix_field), {key: np.zeros_like(added) for key, added in made.biases.items()}
        values, rounded = before.codes.copy(), made.matrices[field].values
        for one in sums:
            values[one.channels] = rounded[one.channels]
            if (index, one.bias) in biases:
                biases[index, one.bias][one.bias_channels] = made.biases[index, one.bias][one.bias_channels]
        values = np.where(np.abs(values) < 2.0**-40, 0, values).astype(
            np.float32
        )  # the engine takes no smaller float weight
        alone = changed(op, {matrix_field: replace(before, codes=values)})
        ops = (*self.program.ops[:index], alone, *self.program.ops[index + 1 :])
        return quantized(replace(self.program, ops=ops), Rounding({}, biases))

    def _sums(self, name: str) -> list[Sum]:
        index, field = self._fields[name]
        return [one for one in sums_of(self.program.ops[index]) if field in one.matrices]

    def _shape(self, name: str) -> tuple[int, int]:
        index, field = self._fields[name]
        channels, inputs = matrix(self.program.ops[index], field).codes.shape
        return channels, inputs

    # ---- rounding all weights ----

    def _rounded(
        self, asked: Mapping[str, Precision], precisions: Mapping[str, Precision], options: dict[str, list[Option]]
    ) -> Choice:
        """Round all measured weights by each method and keep the method that errs least.

        Its error is the larger of those on the held-out frames and on the others: the few frames that a model is most
        sensitive to may be in either part, and a method may fit only the frames that it saw.
        """
        places = [self._fields[name] for name in precisions]
        count = sum(matrix(self.program.ops[index], field).codes.size for index, field in places)
        seen = self._phases.begin("rounding", count * (len(set(self._methods) - {NEAREST}) + len(DAMPINGS)))
        every = Choice(dict(asked) | dict(precisions), NEAREST, {}, [], {}, options, {})
        tried = {method: self._tried(every, precisions, method, DAMPING, seen) for method in self._methods}
        others = [name for name in tried if name != NEAREST]
        best = min(others, key=lambda name: tried[name][0], default=NEAREST)
        for damping in DAMPINGS if best != NEAREST else ():
            tried[f"{best}, damping {damping:g}"] = self._tried(every, precisions, best, damping, seen)
        _, found = min(tried.values(), key=lambda one: one[0])
        gates = {name: self._gates(name, precision) for name, precision in precisions.items()}
        return replace(found, candidates={name: one.error for name, (_, one) in tried.items()}, gates=gates)

    def _tried(
        self,
        choice: Choice,
        precisions: Mapping[str, Precision],
        method: str,
        damping: float,
        seen: Callable[[int], None],
    ) -> tuple[float, Choice]:
        """Return the choice of a method, and by what it is judged: the file is, with all weights of the model."""
        fields = {self._fields[name]: precision for name, precision in precisions.items()}
        made = round_program(self.program, fields, self._moments.get(method), seen, damping)
        codes = {name: made.matrices[self._fields[name]] for name in precisions}
        found = replace(choice, method=method, codes=codes, corrections=self._corrections(made))
        program = every_frame(self._written(found))
        program = with_ranges(program, self.ranges_of(program))
        error = self._held.error(program)
        return max(error, self._probe.error(program)), replace(found, error=error)

    def _corrections(self, made: Rounding) -> list[Correction]:
        names = {index: name for name, (index, _) in self._fields.items()}
        found = []
        for index in dict.fromkeys(index for index, _ in made.biases):
            op = self.program.ops[index]
            added = made.biases.get((index, "bias"), np.zeros(len(matrix(op, "w").codes), np.float32))
            own = made.biases.get((index, "candidate_bias"))
            padded = None if own is None else np.concatenate([np.zeros(len(added) - len(own), np.float32), own])
            found.append(Correction(names[index], added, padded))
        return found


def _output_weights(program: Program, segments: list[Segment]) -> list[float]:
    """Return one over the root mean square of each output, so that every output counts the same."""
    found = []
    for _, value in program.outputs:
        power = sum(float(np.sum(s.values[value].astype(np.float64) ** 2)) for s in segments)
        count = sum(s.values[value].size for s in segments)
        found.append(float(np.sqrt(count / power)) if power > 0 else 0.0)
    return found


def _ladder(weight: Weight, asked: Precision, pinned: bool, budget: Budget) -> list[Precision]:
    channels, inputs = weight.shape
    if pinned:
        return [asked]
    return ladder(asked, (channels, inputs), groupable=weight.groupable, upwards=not budget.stated)


def _unmet(budget: Budget, assignments: list[Assignment], others: int) -> QuantizationError:
    least, best = assignments[0], assignments[-1]
    asked = [f"at most {budget.most_bytes} bytes"] if budget.most_bytes is not None else []
    asked += [f"an error of at most {budget.most_error:g}"] if budget.most_error is not None else []
    return QuantizationError(
        f"no precisions of the weights give {' and '.join(asked)}: the smallest file has about "
        f"{least.bytes + others} bytes and an error of {least.error:.2g}, the most exact {best.bytes + others} and "
        f"{best.error:.2g}"
    )


class _Phases:
    """Progress through phases. Each phase's share of the time is about that of an LSTM with a million weights."""

    SHARES: ClassVar = {"observing": 0.1, "gathering": 0.3, "measuring": 0.3, "rounding": 0.3}

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._before, self._share = progress, 0.0, 0.0

    def end(self) -> None:
        """Report that all is done."""
        if self._progress is not None:
            self._progress(1.0)

    def begin(self, name: str, count: int) -> Callable[[int], None]:
        """Begin a phase of `count` things; return a function to call with the number of things done since."""
        self._before, self._share = self._before + self._share, self.SHARES[name]
        before, share, done = self._before, self._share, 0

        def seen(more: int) -> None:
            nonlocal done
            done += more
            if self._progress is not None:
                self._progress(min(before + share * done / max(count, 1), 1.0))

        return seen
