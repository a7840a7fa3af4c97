"""What the commands print of their results."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidegate.benchmarks.tables import Table, latency_table

if TYPE_CHECKING:
    from tidegate.benchmarks.comparison import Comparison
    from tidegate.export import ExportReport
    from tidegate.quant import QuantizationReport
    from tidegate.runtime.contract import Contract, Port
    from tidegate.runtime.inspection import Inspection, RecurrentLayer

Parts = Iterator[Table | str]


def export_parts(report: "ExportReport") -> Parts:
    """Give the proof and the contract of an exported file."""
    rows = [
        [
            check.name,
            f"{check.error:.1e}",
            f"{'above' if check.must_differ else 'up to'} {check.tolerance:.0e}",
            "ok" if check.passed else "FAILED",
        ]
        for check in report.checks
    ]
    yield Table("Proof: largest error relative to the largest value", ["check|", "error", "wanted", ""], rows)
    yield contract_table(report.contract)
    for output, state in report.folded.items():
        yield f"Output {output} of the module is the state {state}."
    yield f"{report.path}: {size(report.bytes)}"


def contract_table(contract: "Contract") -> Table:
    """Return the inputs, outputs and states of a contract."""
    rows = [
        *(["input", port.name, _axes(port)] for port in contract.inputs),
        *(["output", port.name, _axes(port)] for port in contract.outputs),
        *(
            [f"state {state.kind}", f"{state.input} <- {state.output}", " x ".join(map(str, state.shape))]
            for state in contract.states
        ),
    ]
    step = contract.frame_seconds
    rate = "no rate stated" if step is None else f"a frame every {step * 1e3:g} ms"
    return Table(f"Contract: {rate}", ["|", "name|", "axes, shape|"], rows, whole=True)


def _axes(port: "Port") -> str:
    time = "one answer a chunk" if port.time_axis is None else f"time on axis {port.time_axis}"
    return time if port.batch_axis is None else f"{time}, streams on axis {port.batch_axis}"


def quantization_parts(report: "QuantizationReport") -> Parts:
    """Give the coverage of a quantized file."""
    rows = [
        [
            weight.name,
            " x ".join(map(str, weight.shape)),
            weight.precision,
            "-" if weight.precision == "float32" else f"{100 * weight.error:.3g}%",
            weight.reason,
        ]
        for weight in report.weights
    ]
    reasons = any(weight.reason for weight in report.weights)
    columns = ["weight|", "shape", "precision", "error"] + ["why it stayed float|"] * reasons
    yield Table("Weights: error is root mean square, relative", columns, [row[: len(columns)] for row in rows])
    share = report.bytes / report.source_bytes
    yield (
        f"{report.path}: {size(report.bytes)}, {share:.0%} of {size(report.source_bytes)}; "
        f"tried out on {report.backend}"
    )


def inspection_parts(facts: "Inspection") -> Parts:
    """Give what a model file holds."""
    yield f"{facts.path}: {'compiled plan' if facts.kind == 'plan' else 'ONNX'}, {size(facts.bytes)}"
    if facts.contract is not None:
        yield contract_table(facts.contract)
    columns = ["recurrent layer|", "cell|", "in -> units", "W, R", "bytes", "products"]
    title = "Layers: precisions of W and R, with the bits that their inputs have; products are multiply-adds a step"
    yield Table(title, columns, [_layer_row(layer) for layer in facts.layers])
    yield f"Runs on: {facts.backend or 'nothing'}"
    if facts.refusal:
        yield f"Not on the engine: {facts.refusal}"


def _layer_row(layer: "RecurrentLayer") -> list[str]:
    cell = layer.cell if layer.direction == "forward" else f"{layer.cell} {layer.direction}"
    sizes = f"{_known(layer.features)} -> {layer.hidden}"
    return [layer.name, cell, sizes, _precisions(layer), str(layer.bytes), _known(layer.multiply_adds)]


def _precisions(layer: "RecurrentLayer") -> str:
    """Return how W and R are stored and, where the engine runs them, what they read: `W4A15g32, float32`."""
    if layer.weight_bits is None or layer.groups is None:
        return "-"
    read = layer.activation_bits or (0, 0)
    parts = zip(layer.weight_bits, layer.groups, read, strict=True)
    return ", ".join(
        "float32" if bits == 32 else f"W{bits}{f'A{most}' if most else ''}{f'g{group}' if group else ''}"
        for bits, group, most in parts
    )


def _known(value: object) -> str:
    return "-" if value is None else str(value)


def comparison_parts(comparison: "Comparison") -> Parts:
    """Give the latencies of a model."""
    yield latency_table(comparison.run)
    chunk = "1 frame" if comparison.frames == 1 else f"{comparison.frames} frames"
    yield (
        f"Chunks of {chunk}, {comparison.signal}, state carried, contenders in turns; "
        f"{comparison.run.clock_us:.2f} us of every time are the clock's own."
    )
    yield f"Machine: {comparison.environment.summary()}."
    yield from (f"Left out: {text}" for text in comparison.remarks)
    yield from (f"warning: {text}" for text in comparison.warnings())


def size(count: int) -> str:
    """Return a number of bytes as people read it: `63.1 kB`."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.2f} MB"
