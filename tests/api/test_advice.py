"""Advice of the command line that was followed: each message names a way out, and the same command with it succeeds."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import tidegate
from tools.commands import SIGNAL, Command, assert_wrong_usage
from tools.onnx_files import write_ids, write_lstm

QUICK = "--seconds 0.01 --processes 1 --peers none"
NET = """
import torch
from torch import nn

class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True, bidirectional=True)
    def forward(self, x):
        return self.rnn(x)[0]

def make():
    torch.manual_seed(0)
    return nn.LSTM(3, 4, batch_first=True)

def sized(hidden):
    return nn.LSTM(3, hidden, batch_first=True)

wide = lambda: nn.LSTM(3, 6, batch_first=True)
number = 3
"""


@pytest.fixture
def desk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with models, signals and a module."""
    write_ids(Path("ids.onnx"))
    tidegate.quantize("ids.onnx", "ids.int8.onnx")  # bench measures a float file in six precisions
    tidegate.compile_model("ids.onnx", "ids.tide")
    np.save("ids.npy", np.arange(9).repeat(9))
    np.save("long.npy", np.random.default_rng(0).standard_normal((90, 3)).astype(np.float32))
    np.savez("two.npz", a=SIGNAL, b=SIGNAL)
    np.savez("one.npz", a=SIGNAL)
    soundfile.write("fast.wav", SIGNAL, 8000)
    soundfile.write("slow.wav", SIGNAL, 50)
    Path("words.csv").write_text("1,2,3\nfour,5,6\n")
    Path("numbers.csv").write_text("1,2,3\n4,5,6\n")
    model = onnx.load("m.int8.onnx")
    (entry,) = [one for one in model.metadata_props if "sample_rate" in one.value]
    entry.value = re.sub(r'"sample_rate": ?[\d.]+', '"sample_rate": null', entry.value)
    onnx.save(model, "no_rate.int8.onnx")
    model = onnx.load("m.onnx")
    del model.metadata_props[:]
    onnx.save(model, "no_contract.onnx")
    Path("advised_net.py").write_text(NET)
    monkeypatch.delitem(sys.modules, "advised_net", raising=False)
    return folder


# The command, what its message says, and what stands in place of what in the command that follows it.
CASES: dict[str, tuple[str, str, dict[str, str]]] = {
    "an ending": ("run m.tide x.npy -o y.txt", r"ends in \.npy or \.csv", {"y.txt": "y.csv"}),
    "an instruction set": ("run m.tide x.npy --isa sse9", "in this build, which has .*scalar", {"sse9": "scalar"}),
    "a plan on onnxruntime": (
        "run m.tide x.npy --backend onnxruntime",
        "load the ONNX file instead",
        {"m.tide": "m.int8.onnx"},
    ),
    "several arrays": ("run m.tide two.npz", "two.npz: holds several arrays, wanted one", {"two.npz": "one.npz"}),
    "words": ("run m.tide words.csv", "'four' is not a number; wanted numbers sep", {"words.csv": "numbers.csv"}),
    "a fast recording": (
        "run m.onnx fast.wav",
        "has 8000 samples per second, the model takes 50; resample it",
        {"fast.wav": "slow.wav"},
    ),
    "an unknown answer": (
        "run m.onnx x.npy --answer typo",
        "the model has output y, not 'typo'; choose one with --answer NAME",
        {"typo": "y"},
    ),
    "no original": ("verify m.int8.onnx", "--against is missing: give the original", {"": "--against m.onnx"}),
    "weights of a file": (
        "verify m.int8.onnx --against m.onnx --weights w.pt",
        "--weights has no effect with m.onnx; it is for PACKAGE.MODULE:FACTORY",
        {"--weights w.pt": ""},
    ),
    "ids, verified": (
        "verify ids.onnx --against ids.onnx",
        r"takes ids: give data= \(--data\), or the number of ids, ids= \(--ids\)",
        {"": "--ids 9"},
    ),
    "ids, verified on data": ("verify ids.onnx --against ids.onnx", "data=", {"": "--data ids.npy"}),
    "a plan, verified": (
        "verify m.tide --against m.int8.onnx",
        r"a plan can be compared only on a signal of yours: data= \(--data\)",
        {"": "--data x.npy"},
    ),
    "ids and data": (
        "verify ids.onnx --against ids.onnx --data ids.npy --ids 9",
        "no effect with --data",
        {"--ids 9": ""},
    ),
    "chunks": ("verify m.onnx --against m.onnx --chunks 1,some", "wanted e.g. 1,3,17,all", {"1,some": "1,3,17,all"}),
    "a rate": (f"bench no_rate.int8.onnx {QUICK}", "give --rate 100/s, --hop 10ms or --closed", {"": "--rate 100/s"}),
    "a hop": (f"bench no_rate.int8.onnx {QUICK}", "give --rate 100/s, --hop 10ms or --closed", {"": "--hop 10ms"}),
    "a closed loop": (f"bench no_rate.int8.onnx {QUICK}", "--hop 10ms or --closed", {"": "--closed"}),
    "both rates": (
        f"bench m.tide {QUICK} --rate 100 --hop 10ms",
        "wanted --rate 100/s or --hop 10ms",
        {"--rate 100 --hop 10ms": "--rate 100/s"},
    ),
    "a stall": (
        f"bench m.tide {QUICK} --closed --inject-stall 9",
        "wanted a time with its unit, e.g. 10ms",
        {"--inject-stall 9": "--inject-stall 10ms"},
    ),
    "an option of suites": (f"bench m.tide {QUICK} --closed --cases A", "it is for cells", {"--cases A": ""}),
    "ids in a plan": (f"bench ids.tide {QUICK} --closed", "give some with --input", {"": "--input ids.npy"}),
    "ids, of the file": (f"bench ids.tide {QUICK} --closed", "or the ONNX file", {"ids.tide": "ids.int8.onnx"}),
    "a short signal": (
        f"bench m.tide {QUICK} --closed --input x.npy --chunk 12",
        "signal has 20 frames, wanted at least two chunks of 12 frames",
        {"--chunk 12": "--chunk 10"},
    ),
    "nothing to measure": (f"bench {QUICK} --closed", "wanted a file, --suite NAME, or --compare", {"": "m.tide"}),
    "extra bytes": (
        "quantize m.onnx -o q.onnx --extra 0.1",
        "--extra has no effect without --calibration",
        {"": "--calibration long.npy"},
    ),
    "fewest bytes": (
        "quantize m.onnx -o q.onnx --max-bytes 9000",
        "max_bytes and max_error need calibration: streams like those",
        {"": "--calibration long.npy"},
    ),
    "integers": (
        "quantize m.onnx -o q.onnx --arithmetic integer",
        "integer arithmetic needs calibration",
        {"": "--calibration long.npy"},
    ),
    "ranges of integers": (
        "quantize m.onnx -o q.onnx --arithmetic integer --ranges mse --calibration long.npy",
        "leave ranges out",
        {"--ranges mse": ""},
    ),
    "few frames": (
        "quantize m.onnx -o q.onnx --calibration x.npy",
        "has 20 frames, wanted at least 50",
        {"x.npy": "long.npy"},
    ),
    "a precision": ("quantize m.onnx -o q.onnx --precision W3", "wanted W4, W8 or W16", {"W3": "W4A8g32"}),
    "a pattern": ("quantize m.onnx -o q.onnx --require x*", r"no weight matches 'x\*'; there are w0, r0", {"x*": "r0"}),
    "a target": ("compile m.onnx --target pdp11 -o out", "wanted one of .*cortex-m4f", {"pdp11": "cortex-m4f"}),
    "a file as a folder": (
        "compile m.onnx --target cortex-m4f -o x.npy",
        "x.npy: is a file, wanted a folder for --target",
        {"x.npy": "out"},
    ),
    "two forms": (
        "compile m.onnx --target cortex-m4f --format c -o out",
        "--format has no effect with --target",
        {"--format c": ""},
    ),
    "another ending": ("compile m.onnx --format c -o m.txt", r"ends in \.c", {"m.txt": "m.c"}),
    "a picture": ("inspect m.onnx --svg m.txt", r"ends in \.svg or \.png", {"m.txt": "m.svg"}),
    "the answers over the signal": (
        "run m.tide x.npy -o x.npy",
        "x.npy: is a file to read, .*",
        {"-o x.npy": "-o y.npy"},
    ),
    "the integers over the floats": (
        "quantize m.onnx -o ./m.onnx",
        "m.onnx: is a file to read, and may be needed again; give the output another name",
        {"./m.onnx": "q.onnx"},
    ),
    "a plan over its model": ("compile m.onnx -o m.onnx", "give the output another name", {"-o m.onnx": "-o n.tide"}),
    "a stream over its file": (
        "lift no_contract.onnx -o no_contract.onnx",
        "give the output another name",
        {"-o no_contract.onnx": "-o s.onnx"},
    ),
    "no contract": (
        "run no_contract.onnx x.npy",
        "export it with `tidegate export`, or lift it with `tidegate lift`",
        {"run no_contract.onnx x.npy": "lift no_contract.onnx -o lifted.onnx"},
    ),
}


def _assert_followed(tide: Command, first: str, message: str, changes: dict[str, str]) -> None:
    """Check that a command fails with a message, and succeeds after the changes."""
    outcome = tide(*first.split())
    assert outcome.status in (1, 2)
    assert re.search(message, " ".join(outcome.err.split())), outcome.err
    followed = first
    for old, new in changes.items():
        assert old in first
        followed = followed.replace(old, new) if old else f"{followed} {new}"
    outcome = tide(*followed.split())
    assert outcome.status == 0, outcome.err


@pytest.mark.usefixtures("desk")
def test_row_164_no_command_writes_over_the_file_that_it_reads(tide: Command) -> None:
    Path("link.onnx").symlink_to("m.onnx")
    Path("signed.sig").symlink_to("m.onnx")
    before = Path("m.onnx").read_bytes()
    for command in (
        "quantize m.onnx -o link.onnx",
        "quantize link.onnx -o m.onnx",
        "quantize x.onnx -o q.onnx --html m.onnx --calibration m.onnx",
        "lift m.onnx -o link.onnx",
        "lift x.onnx -o m.onnx --data m.onnx",
        "export package.module:factory --example 1x2x3 -o m.onnx --weights m.onnx",
        "compile x.onnx -o m.onnx --sign link.onnx",
        "compile x.onnx -o signed --sign signed.sig",
        "bench x.onnx --input m.onnx --json m.onnx",
        "bench --compare m.onnx x.onnx --json link.onnx",
        "live x.onnx m.onnx --learn-health m.onnx",
    ):
        assert_wrong_usage(tide(*command.split()), "is a file to read, and may be needed again")
    assert Path("m.onnx").read_bytes() == before


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("write", [tidegate.quantize, tidegate.compile_model, tidegate.lift])
def test_no_function_writes_over_the_file_that_it_reads(write: Callable[[str, str], object]) -> None:
    onnx.save(
        onnx.load("no_contract.onnx"), "apart.onnx", save_as_external_data=True, location="data", size_threshold=0
    )
    Path("link.onnx").symlink_to("m.onnx")
    pairs = [("m.onnx", "m.onnx"), ("m.onnx", "link.onnx")] + [("apart.onnx", "data")] * (write is tidegate.lift)
    for source, target in pairs:
        before = Path(target).read_bytes()
        with pytest.raises(tidegate.ModelError, match=f"{target}: is a file to read, .*give the output another name"):
            write(source, target)
        assert Path(target).read_bytes() == before


@pytest.mark.usefixtures("desk")
def test_two_outputs_of_a_command_have_two_names(tide: Command) -> None:
    Path("link.html").symlink_to("both")
    for command in (
        "quantize m.onnx -o both --html both",
        "quantize m.onnx -o both --html ./link.html",
        f"bench m.tide {QUICK} --json both --html ../{Path.cwd().name}/both",
    ):
        assert_wrong_usage(tide(*command.split()), "two outputs would have this name; give each its own")
    assert not Path("both").exists()
    assert tide("quantize", "m.onnx", "-o", "/dev/null", "--html", "/dev/null").status == 0


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("name", CASES)
def test_row_122_the_way_out_of_a_command_succeeds(name: str, tide: Command) -> None:
    _assert_followed(tide, *CASES[name])


EXPORTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "no colon": ("advised_net --example 1x9x3", "wanted package.module:factory, with a colon", {"net": "net:make"}),
    "no factory": ("advised_net:nope --example 1x9x3", r"has no 'nope'; it has .*make", {"nope": "make"}),
    "no call": ("advised_net:number --example 1x9x3", "is int, wanted something to call", {"number": "make"}),
    "an argument": (
        "advised_net:sized --example 1x9x3",
        r"missing 1 required .*; it is called without arguments",
        {"sized": "make"},
    ),
    "sizes": ("advised_net:make --example 1,9,3", "e.g. 1x20x6", {"1,9,3": "1x20x3"}),
    "weights as a script": (
        "w.pt --example 1x9x3",
        r"loaded: give PACKAGE.MODULE:FACTORY and --weights\)",
        {"w.pt": "advised_net:make --weights w.pt"},
    ),
    "a whole module": (
        "advised_net:make --weights module.pt --example 1x9x3",
        r"not a state_dict .*; save model.state_dict\(\) with safetensors",
        {"module.pt": "w.safetensors"},
    ),
    "a checkpoint": (
        "advised_net:make --weights checkpoint.pt --example 1x9x3",
        r"holds epoch \(int\), model \(\w+\), wanted a state_dict of tensors: save model.state_dict\(\)",
        {"checkpoint.pt": "w.pt"},
    ),
    "an ending": (
        "advised_net:make --weights w.ckpt --example 1x9x3",
        r"wanted one of \.safetensors, \.pt, \.pth, \.bin",
        {"w.ckpt": "w.bin"},
    ),
    "other weights": (
        "advised_net:wide --weights w.pt --example 1x9x3",
        r"wrong shapes: .*; wanted the weights of this module",
        {"wide": "make"},
    ),
    "weights of a script": (
        "script.ts --weights w.pt --example 1x9x3",
        "a TorchScript file has its own weights",
        {"--weights w.pt": ""},
    ),
    "blocks of one direction": (
        "advised_net:make --example 1x9x3 --block 4",
        "for bidirectional layers; this model has none, leave them out",
        {"--block 4": ""},
    ),
    "a lookahead alone": (
        "advised_net:Turned --example 1x9x3 --lookahead 2",
        "lookahead is 2 without a block; wanted block=",
        {"": "--block 4"},
    ),
}


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.filterwarnings("ignore")  # of torch.jit
def test_the_way_out_of_an_export_leads_to_a_file(name: str, tide: Command) -> None:
    torch, safetensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    module = torch.nn.LSTM(3, 4, batch_first=True)
    for path in ("w.pt", "w.bin", "w.ckpt"):
        torch.save(module.state_dict(), path)
    torch.save(module, "module.pt")
    torch.save({"epoch": 3, "model": module.state_dict()}, "checkpoint.pt")
    safetensors.save_file(module.state_dict(), "w.safetensors")
    torch.jit.save(torch.jit.trace(module, torch.zeros(1, 9, 3)), "script.ts")
    first, message, changes = EXPORTS[name]
    _assert_followed(tide, f"export -o out.onnx {first}", message, changes)
    assert Path("out.onnx").exists()


@pytest.mark.usefixtures("desk")
def test_the_smallest_file_that_a_message_names_is_written(tide: Command) -> None:
    command = ["quantize", "m.onnx", "-o", "q.onnx", "--calibration", "long.npy", "--max-bytes"]
    outcome = tide(*command, "100")
    size = re.search(r"the smallest file has about (\d+) bytes", outcome.err)
    assert outcome.status == 1
    assert size is not None, outcome.err
    assert tide(*command, size[1]).status == 0


@pytest.mark.usefixtures("desk")
def test_each_lookahead_is_compared_as_the_messages_say(tide: Command) -> None:
    pytest.importorskip("torch")
    assert tide("export", "advised_net:Turned", "--example", "1x9x3", "-o", "turned.onnx").status == 0
    assert "or use --lookaheads" in " ".join(tide("verify", "turned.onnx").err.split())
    said = tide("verify", "turned.onnx", "--lookaheads", "0,2")
    assert "--data is missing: --lookaheads compares answers to a signal of yours" in " ".join(said.err.split())
    assert tide("verify", "turned.onnx", "--lookaheads", "0,2", "--data", "x.npy").status == 0


@pytest.mark.usefixtures("desk")
def test_a_file_without_a_contract_is_drawn_with_the_way_out(tide: Command) -> None:
    pytest.importorskip("matplotlib")
    assert tide("inspect", "no_contract.onnx", "--svg", "a.svg").status == 0
    assert "no contract: lift or export the file" in Path("a.svg").read_text()
    assert tide("lift", "no_contract.onnx", "-o", "lifted.onnx").status == 0
    assert tide("inspect", "lifted.onnx", "--svg", "b.svg").status == 0
    assert "no contract" not in Path("b.svg").read_text()


def test_a_folder_is_created_first(folder: Path, tide: Command) -> None:
    assert "no: there is no such folder; create it first" in tide("run", "m.tide", "x.npy", "-o", "no/y.npy").err
    (folder / "no").mkdir()
    assert tide("run", "m.tide", "x.npy", "-o", "no/y.npy").status == 0


def test_the_frames_of_a_recording_are_given_as_the_message_says(tmp_path: Path, tide: Command) -> None:
    path = write_lstm(tmp_path / "m.onnx", features=3)
    model = onnx.load(path)
    model.metadata_props[0].value = re.sub(r'"hop": ?1', '"hop": 16', model.metadata_props[0].value)
    onnx.save(model, path)
    soundfile.write(tmp_path / "x.wav", SIGNAL, 50)
    said = tide("run", path, tmp_path / "x.wav")
    assert "is a recording, the model takes a frame every 16 samples; give its frames as .npy or .csv" in said.err
    np.save(tmp_path / "x.npy", SIGNAL)
    assert tide("run", path, tmp_path / "x.npy").status == 0
