"""What the batches of recurrent nodes hold besides the streams."""

import numpy as np
import onnx
import pytest
import torch
from tidegate.export.graph.axes import Axes, find_axes, trace_dims
from tidegate.export.graph.constants import fold_constants
from tidegate.export.graph.folds import Folds, find_folds, refuse_starts, run_inside
from tidegate.export.rewrites.directions import split_directions
from tidegate.runtime.errors import ContractError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tools.graphs import run
from tools.speech_nets import BANDS, CHANNELS, AlongBands, Bands, BandsFirst, DualPath

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter


def traced(module: torch.nn.Module, tmp_path: object) -> onnx.ModelProto:
    torch.manual_seed(0)
    axes = {"x": {0: "batch", 2: "time"}}
    x = torch.randn(2, CHANNELS, 5, BANDS)
    torch.onnx.export(module.eval(), (x,), f"{tmp_path}/m.onnx", dynamo=False, input_names=["x"], dynamic_axes=axes)
    model = onnx.load(f"{tmp_path}/m.onnx")
    fold_constants(model)
    return model


def folds_of(model: onnx.ModelProto) -> Folds:
    dims = trace_dims(model, (0, 2))
    axes = find_axes(model, dims)
    assert axes == Axes(time=2, batch=0)
    return find_folds(model, dims, axes)


@pytest.mark.parametrize(
    ("module", "batch"), [(Bands(), ("batch", BANDS)), (BandsFirst(), (BANDS, "batch")), (Bands(layers=2), None)]
)
def test_bands_before_or_after_the_streams_are_rows(
    module: torch.nn.Module, batch: tuple[int | str, ...] | None, tmp_path: object
) -> None:
    folds = folds_of(traced(module, tmp_path))
    assert not folds.inside
    assert set(folds.rows.values()) == {batch or ("batch", BANDS)}


def test_a_layer_whose_batch_holds_the_frames_runs_inside_a_frame(tmp_path: object) -> None:
    model = traced(DualPath("GRU"), tmp_path)
    names = [node.name for node in Graph(model).nodes if node.op_type == "GRU"]
    folds = folds_of(model)
    assert set(folds.inside) == {names[0]}
    assert dict(folds.rows) == {names[1]: ("batch", BANDS)}


def test_a_backward_layer_inside_a_frame_reads_the_frame_turned(tmp_path: object) -> None:
    model = traced(DualPath(), tmp_path)
    x = np.random.default_rng(0).standard_normal((2, CHANNELS, 7, BANDS)).astype(np.float32)
    (wanted,) = run(model, {"x": x}).values()
    split_directions(model)
    dims = trace_dims(model, (0, 2))
    run_inside(model, dims, find_folds(model, dims, find_axes(model, dims)).inside)
    seen = [attribute.s for node in model.graph.node for attribute in node.attribute if attribute.name == "direction"]
    assert b"reverse" not in seen
    np.testing.assert_allclose(next(iter(run(model, {"x": x}).values())), wanted, atol=1e-6)


def test_constants_that_a_layer_inside_a_frame_starts_from_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="'intra': its initial h is not zeros, but it runs inside each frame"):
        refuse_starts(Folds({}, frozenset({"intra"})), [("intra", "h")], "not zeros", "train it from zeros")


def test_a_layer_along_bands_alone_has_no_time(tmp_path: object) -> None:
    model = traced(AlongBands(), tmp_path)
    with pytest.raises(ContractError, match="its frames are not those of the input"):
        find_axes(model, trace_dims(model, (0, 2)))
