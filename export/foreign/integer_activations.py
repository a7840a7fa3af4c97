"""How far the 8-bit activations of a file that onnxruntime quantized move its answers: figures for a lift's report.

Such a file rounds activations to 8 bits with one scale per run. The lifted file has its weights and finer activations,
so the two answer differently. On noise this is a property of the file, not a fault of the lifted file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...runtime.arrays import Array
from ..proof.comparison import peak_error
from .original import OriginalFile

BOUND = 0.1  # of the largest value; above it the report warns. Seen in real files: 0.013
NOISE, DATA = "noise", "the data"


@dataclass(frozen=True)
class IntegerError:
    """How far the integers of a quantized file move its answers to a signal, relative to the largest value.

    Attributes:
        signal: `noise` or `the data`.
        activation_error: By 8-bit activations, with exact integer products.
        saturation_error: By products that saturate in onnxruntime on this processor; 0 if they are exact here.
    """

    signal: str
    activation_error: float
    saturation_error: float

    def sentences(self) -> Iterator[str]:
        """Yield a sentence for each error."""
        yield (
            f"Its own 8-bit activations change the answers to {self.signal} by {self.activation_error:.1%} of the "
            "largest value."
        )
        if self.saturation_error:
            yield (
                "On this processor onnxruntime's 8-bit products saturate: that changes the answers of the original to "
                f"{self.signal} by {self.saturation_error:.2%} of the largest value. The lifted file has no such "
                "products."
            )


@dataclass(frozen=True)
class Forms:
    """A quantized file in three forms.

    Attributes:
        floats: With its weights and float activations.
        exact: As it is, with exact integer products.
        here: As it is, as onnxruntime runs it on this processor.
    """

    floats: OriginalFile
    exact: OriginalFile
    here: OriginalFile

    def error(self, name: str, signals: Sequence[Array]) -> IntegerError:
        """Return the largest errors of the answers to some signals."""
        activations, saturation = [], []
        for x in signals:
            wanted = self.exact.answers(x)
            activations.append(self._largest(self.floats.answers(x), wanted))
            saturation.append(self._largest(self.here.answers(x), wanted))
        return IntegerError(name, max(activations), max(saturation))

    def _largest(self, seen: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
        return max(peak_error(seen[port.name], wanted[port.name]) for port in self.exact.contract.outputs)


def warnings(errors: Sequence[IntegerError]) -> Iterator[str]:
    """Yield a warning with its way out, if the activations move the answers by more than BOUND.

    The last of the errors counts: that on the data, if there are some.
    """
    for error in errors[-1:]:
        if error.activation_error > BOUND:
            measure = "" if error.signal == DATA else "measure it on a signal of yours (data=, --data), or "
            yield (
                f"the file's own 8-bit activations change its answers to {error.signal} by "
                f"{error.activation_error:.0%} of the largest value, above {BOUND:.0%}; the lifted file has finer "
                f"ones, so it answers otherwise by as much; {measure}lift the float file and quantize it with "
                "`tidegate quantize`"
            )
