"""Parametrized weights (weight_norm, spectral_norm, orthogonal): functions of the parameters only, so constant here."""

from functools import partial

from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList


def fix_weights(module: nn.Module) -> None:
    """Compute each parametrized weight once, in place: torch's exporter knows only some of the operators in between."""
    for child in module.modules():
        if isinstance(child, ParametrizationList):
            child.forward = partial(_same, child())  # type: ignore[method-assign] # `kept` takes it back


def _same(weight: Tensor) -> Tensor:
    return weight
