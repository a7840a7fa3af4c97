"""Modules, weights and examples from the text of a command line."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from tidegate.export import example_from_shape, export_model, load_module
from tidegate.runtime.errors import BackendError, ExportError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from torch import nn

SOURCE = """
import torch
from torch import nn

def net():
    return nn.LSTM(3, 4)

def failing():
    raise RuntimeError("no configuration")

def number():
    return 3

class Zoo:
    small = nn.LSTM(3, 4)
    plain = lambda: nn.Sequential(nn.LSTM(3, 4))
    compiled = lambda: torch.compile(nn.Sequential(nn.LSTM(3, 4)))
    inside = lambda: nn.Sequential(torch.compile(nn.LSTM(3, 4)))

ready = nn.LSTM(3, 4)
size = 3
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder whose module has a unique name, so that no test imports the module of another."""
    (tmp_path / "factories.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import no_such_package\n")
    (tmp_path / "wrong.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("factories", "broken", "wrong"):
        sys.modules.pop(name, None)


def test_a_factory_in_the_working_directory() -> None:
    before = list(sys.path)
    assert isinstance(load_module("factories:net"), nn.LSTM)
    assert sys.path == before


@pytest.mark.parametrize("name", ["factories:ready", "factories:Zoo.small"])
def test_a_module_that_is_there_already(name: str) -> None:
    assert isinstance(load_module(name), nn.LSTM)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("factories", "'factories': wanted package.module:factory, with a colon"),
        ("factories:", "wanted package.module:factory"),
        (":net", "wanted package.module:factory"),
        ("nowhere.models:net", "no module 'nowhere', neither installed nor in "),
        ("broken:net", "importing broken fails: No module named 'no_such_package'"),
        ("wrong:net", "importing wrong fails: ZeroDivisionError"),
        ("factories:nets", "factories has no 'nets'; it has Zoo, failing, net, number"),
        ("factories:failing", r"failing\(\) fails: RuntimeError: no configuration; it is called without arguments"),
        ("factories:number", "gave int, wanted a torch.nn.Module"),
        ("factories:size", "is int, wanted something to call"),
    ],
)
def test_names_that_do_not_fit_are_refused(name: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        load_module(name)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin"])
def test_weights_are_loaded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    weights = {key: torch.full_like(value, 0.5) for key, value in nn.LSTM(3, 4).state_dict().items()}
    if suffix == ".safetensors":
        safetensors.torch.save_file(weights, path)
    else:
        torch.save(weights, path)
    loaded = load_module("factories:net", path).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in weights.items())


@pytest.mark.parametrize("saved", ["plain", "compiled", "inside"])
@pytest.mark.parametrize("name", ["factories:Zoo.plain", "factories:Zoo.compiled", "factories:Zoo.inside"])
def test_weights_of_compiled_and_plain_modules_fit_each_other(tmp_path: Path, name: str, saved: str) -> None:
    weights = load_module(f"factories:Zoo.{saved}").state_dict()
    loaded = load_module(name, _saved(weights, tmp_path / "w.pt")).state_dict()
    assert [value.tolist() for value in loaded.values()] == [value.tolist() for value in weights.values()]


def test_weights_of_a_data_parallel_module_fit_the_plain_one(tmp_path: Path) -> None:
    """Their keys start with `module.`."""
    weights = nn.DataParallel(load_module("factories:Zoo.plain")).state_dict()
    loaded = load_module("factories:Zoo.plain", _saved(weights, tmp_path / "w.pt")).state_dict()
    assert [value.tolist() for value in loaded.values()] == [value.tolist() for value in weights.values()]


@pytest.mark.parametrize("prefix", ["module._orig_mod.", "_orig_mod.module."])
def test_weights_of_compiled_parallel_modules_fit(tmp_path: Path, prefix: str) -> None:
    weights = load_module("factories:Zoo.plain").state_dict()
    path = _saved({prefix + key: value for key, value in weights.items()}, tmp_path / "w.pt")
    for key, value in load_module("factories:Zoo.plain", path).state_dict().items():
        assert torch.equal(value, weights[key])


def _saved(weights: object, path: Path) -> Path:
    torch.save(weights, path)
    return path


def test_weights_of_another_module_are_refused_by_name(tmp_path: Path) -> None:
    path = _saved(nn.LSTM(3, 4, bias=False).state_dict() | {"fc.weight": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(ExportError, match=r"missing bias_hh_l0, bias_ih_l0; unexpected fc.weight; wanted the keys"):
        load_module("factories:net", path)


def test_weights_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    path = _saved(nn.LSTM(5, 4).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ExportError, match=r"wrong shapes: weight_ih_l0 \[16, 5\] for \[16, 3\]"):
        load_module("factories:net", path)


def test_many_keys_are_counted(tmp_path: Path) -> None:
    path = _saved(nn.LSTM(3, 4, 3).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ExportError, match=r"missing none; unexpected .* and 3 more"):
        load_module("factories:net", path)


@pytest.mark.parametrize(
    ("content", "seen"),
    [({"epoch": 3, "state_dict": {}}, r"epoch \(int\), state_dict \(dict\)"), (torch.ones(1), "Tensor")],
    ids=["checkpoint", "tensor"],
)
def test_what_is_not_a_state_dict_is_refused(tmp_path: Path, content: object, seen: str) -> None:
    path = _saved(content, tmp_path / "w.pt")
    with pytest.raises(ExportError, match=rf"holds {seen}, wanted a state_dict of tensors"):
        load_module("factories:net", path)


class Trap:
    """An object that would run code when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path("trapped").touch, ()


@pytest.mark.parametrize("content", [Trap(), nn.LSTM(3, 4)], ids=["code", "whole module"])
def test_nothing_is_ever_unpickled(tmp_path: Path, content: object) -> None:
    path = _saved(content, tmp_path / "w.pt")
    with pytest.raises(ExportError, match=r"w.pt: not a state_dict \(.*\); save model.state_dict\(\) with safetensors"):
        load_module("factories:net", path)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_damaged_weight_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ExportError, match="not a state_dict"):
        load_module("factories:net", path)


def test_weight_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"w.pkl: wanted one of .safetensors, .pt, .pth, .bin"):
        load_module("factories:net", tmp_path / "w.pkl")
    with pytest.raises(FileNotFoundError, match=r"w.pt: no such file"):
        load_module("factories:net", tmp_path / "w.pt")


def test_an_example_is_the_same_at_every_call_and_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    example, again = example_from_shape("1x20x6"), example_from_shape("1x20x6")
    assert isinstance(example, torch.Tensor)
    assert isinstance(again, torch.Tensor)
    assert example.shape == (1, 20, 6)
    assert torch.equal(example, again)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("text", ["", "1x", "x3", "1x0x6", "-1x3", "1,20,6", "1x20x6\n", "axb", "1x2.5"])
def test_examples_that_are_not_sizes_are_refused(text: str) -> None:
    with pytest.raises(ExportError, match=r"wanted positive sizes with an x between them, e.g. 1x20x6"):
        example_from_shape(text)


def test_an_example_that_is_too_large_is_refused() -> None:
    with pytest.raises(ExportError, match="1000000000000 values, at most 100000000 are made"):
        example_from_shape("1000000x1000x1000")


def test_torch_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    for call in (lambda: load_module("factories:net"), lambda: example_from_shape("1x2")):
        with pytest.raises(BackendError, match=r"pip install 'tidegate\[export\]'"):
            call()


class Tagger(nn.Module):
    """An LSTM, for TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(6, 8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.fc(self.lstm(x)[0])
        return answer


class Stateful(Tagger):
    """A state is an optional argument."""

    def forward(self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        answer: torch.Tensor = self.fc(self.lstm(x, state)[0])
        return answer


class Returning(Tagger):
    """A state is an optional argument, and the next state is returned."""

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        y, new = self.lstm(x, state)
        return self.fc(y), new


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [Stateful, Returning])
def test_torchscript_whose_state_is_left_out_is_lifted(kind: type[Tagger], tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(kind()), tmp_path / "net.pt")
    module, x = load_module(str(tmp_path / "net.pt")), torch.randn(1, 9, 6)
    report = export_model(module, x, tmp_path / "m.onnx")
    print(f"largest relative error {report.error:.1e}, wanted 1e-5")
    assert report.error < 1e-5
    assert [state.input for state in report.contract.states] == ["lstm.h_in", "lstm.c_in"]
    names = {tensor.name for tensor in Graph.load(tmp_path / "m.onnx").model.graph.initializer}
    assert {"lstm.weight_ih_l0", "fc.bias"} <= names


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_with_its_state_in_the_example_says_what_to_leave_out(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Returning()), tmp_path / "net.pt")
    module, x, state = load_module(str(tmp_path / "net.pt")), torch.randn(1, 9, 6), torch.zeros(2, 1, 8)
    message = "leave state_0, state_1 out of the example if the scripted forward works without"
    with pytest.raises(ExportError, match=message):
        export_model(module, (x, (state, state.clone())), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    export_model(module, x, tmp_path / "m.onnx")


@pytest.mark.parametrize("how", ["trace", "script"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_torchscript_file_exports_without_its_source(tmp_path: Path, how: str) -> None:
    module, example = Tagger().eval(), torch.randn(1, 9, 6)
    scripted = torch.jit.script(module) if how == "script" else torch.jit.trace(module, example)  # type: ignore[no-untyped-call]
    torch.jit.save(scripted, tmp_path / "net.pt")
    report = export_model(load_module(str(tmp_path / "net.pt")), example, tmp_path / "m.onnx")
    assert [state.input for state in report.contract.states] == ["lstm.h_in", "lstm.c_in"]
    names = {tensor.name for tensor in Graph.load(report.path).model.graph.initializer}
    assert {"lstm.weight_ih_l1", "fc.weight"} <= names
    frames = np.random.default_rng(1).standard_normal((30, 6), np.float32)
    seen, wanted = (load(report.path, backend).stream().push(frames) for backend in ("native", "onnxruntime"))
    assert isinstance(seen, np.ndarray)
    assert isinstance(wanted, np.ndarray)
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=2e-6)


AUDITED = """
import sys
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event == "pickle.find_class" else None)
from tidegate.export import load_module
load_module("net.pt")
load_module("factories:net", "weights.pt")
assert not seen, seen
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """Nothing is unpickled, neither from a TorchScript file nor from a state_dict (failure 16)."""
    torch.jit.save(torch.jit.script(Tagger()), tmp_path / "net.pt")
    torch.save(nn.LSTM(3, 4).state_dict(), tmp_path / "weights.pt")
    subprocess.run([sys.executable, "-c", AUDITED], cwd=tmp_path, check=True)


def test_what_is_not_torchscript_is_refused(tmp_path: Path) -> None:
    torch.save(nn.LSTM(3, 4), tmp_path / "pickled.pt")
    with pytest.raises(ExportError, match=r"pickled.pt: not TorchScript, wanted a file of torch.jit.save"):
        load_module(str(tmp_path / "pickled.pt"))
    with pytest.raises(ExportError, match="has its own weights, wanted no other weights"):
        load_module("net.ts", tmp_path / "weights.safetensors")
    with pytest.raises(FileNotFoundError):
        load_module("none.pt")


def test_an_example_of_ids() -> None:
    ids = example_from_shape("2x20", ids=11)
    assert isinstance(ids, torch.Tensor)
    assert (ids.dtype, list(ids.shape)) == (torch.int64, [2, 20])
    assert 0 <= int(ids.min()) <= int(ids.max()) < 11
