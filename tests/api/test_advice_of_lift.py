"""Advice of `tidegate lift` that was followed: the options of a message, added as they stand, lead to a file."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from onnx import TensorProto, helper, numpy_helper
from tools import foreign_files, loop_files
from tools.commands import Command
from tools.foreign_files import Dims

PAIRS = ("h", "hn"), ("c", "cn")
OPTION = r"--[a-z-]+ (?:[\w.]+=[\w.]+|\d+)"


def _renamed(model: onnx.ModelProto, **names: str) -> onnx.ModelProto:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for item in (*model.graph.input, *model.graph.output):
        item.name = names.get(item.name, item.name)
    return model


def _signal_like_a_state() -> onnx.ModelProto:
    """Return a file whose inputs all have names of states."""
    model = _renamed(foreign_files.with_states([("in_h", "out_h"), ("in_c", "out_c")]), x="in_x", y="out_x")
    next(item for item in model.graph.output if item.name == "out_x").type.tensor_type.ClearField("shape")
    return model


def _without(*outputs: str) -> onnx.ModelProto:
    model = foreign_files.with_states(PAIRS)
    kept = [item for item in model.graph.output if item.name not in outputs]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model


def _two_outputs(*, first: bool) -> onnx.ModelProto:
    """Return a file with an answer that has the name of a state."""
    model = foreign_files.with_states(PAIRS)
    model.graph.node.append(helper.make_node("Neg", ["hn"], ["h_out"]))
    item = helper.make_tensor_value_info("h_out", TensorProto.FLOAT, [2, "batch", 6])
    model.graph.output.insert(0 if first else 9, item)
    return model


def _between(model: onnx.ModelProto, name: str, nodes: Sequence[onnx.NodeProto], after: str) -> onnx.ModelProto:
    """Put nodes that make a value of an input between the input and its readers."""
    for node in model.graph.node:
        node.input[:] = [after if read == name else read for read in node.input]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    return model


def _masked(kind: int, dims: Dims) -> onnx.ModelProto:
    """Return a file that multiplies its frames by a mask."""
    model = foreign_files.with_states(PAIRS)
    model.graph.input.append(helper.make_tensor_value_info("mask", kind, dims))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1]), "last"))
    nodes = [
        helper.make_node("Cast", ["mask"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["numbers", "last"], ["kept"]),
        helper.make_node("Mul", ["x", "kept"], ["z"]),
    ]
    return _between(model, "x", nodes, "z")


def _conditional() -> onnx.ModelProto:
    """Return a file with an If on a sample rate."""
    model = foreign_files.with_states(PAIRS)
    model.graph.input.append(helper.make_tensor_value_info("rate", TensorProto.INT64, []))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1), "one"))
    branches = {}
    for name, op in {"then": "Neg", "else": "Identity"}.items():
        item = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        branches[name] = helper.make_graph([helper.make_node(op, ["x"], [name])], name, [], [item])
    chosen = helper.make_node("If", ["is"], ["z"], then_branch=branches["then"], else_branch=branches["else"])
    nodes = [helper.make_node("Equal", ["rate", "one"], ["is"]), chosen]
    return _between(model, "x", nodes, "z")


def _conditioned(dims: Dims, opset: int = 13) -> onnx.ModelProto:
    """Return a file that adds a vector to its answer, in whose shape a state may come."""
    model = foreign_files.keras(sequences=False)
    model.opset_import[0].version = opset
    model.graph.input.append(helper.make_tensor_value_info("knob", TensorProto.FLOAT, dims))
    _renamed(model, dense="before").graph.output[0].name = "dense"
    model.graph.node.append(helper.make_node("Add", ["before", "knob"], ["dense"]))
    return model


def _open_frame() -> onnx.ModelProto:
    model = foreign_files.one_frame()
    model.graph.input[0].type.tensor_type.shape.dim[1].Clear()
    return model


# What the file is, the options at first, what the first message says, and a number in place of a placeholder.
FILES: dict[str, tuple[Callable[[], onnx.ModelProto], list[str], str, str]] = {
    "swapped": (lambda: foreign_files.with_states([("h", "cn"), ("c", "hn")]), [], "'cn' does: --state h=cn", ""),
    "two outputs": (lambda: _two_outputs(first=False), [], "may be fed by any of the outputs 'hn', 'h_out'", ""),
    "the other of two": (lambda: _two_outputs(first=True), [], "may be fed by any of the outputs 'h_out', 'hn'", ""),
    "a state forgotten": (
        lambda: foreign_files.with_states(PAIRS),
        ["--state", "h=hn"],
        "'c', .* is not among the states given; add it: --state c=cn",
        "",
    ),
    "the signal named": (
        lambda: _renamed(foreign_files.with_states(), x="h"),
        ["--state", "h=hn"],
        "'h' starts no recurrent layer, and output 'hn' is the next state of 'h0'; --state h0=hn in place of --state",
        "",
    ),
    "the signal as a state": (
        _signal_like_a_state,
        ["--state", "in_x=out_x", "--state", "in_h=out_h", "--state", "in_c=out_c"],
        "'in_x' is the only one that starts no recurrent layer, so it is the signal; leave out --state in_x=out_x",
        "",
    ),
    "one state not returned": (lambda: _without("cn"), [], r"'c', .*carried inside \(--set c=0\)", ""),
    "no state returned": (lambda: _without("cn", "hn"), [], r"'h', .*carried inside \(--set h=0\)", ""),
    "a mask": (lambda: _masked(TensorProto.BOOL, ["time", "batch"]), [], r"\(--set mask=VALUE\)$", "1"),
    "a mask of ids": (lambda: _masked(TensorProto.INT64, ["t", "b"]), [], r"\(--set mask=VALUE\)$", "1"),
    "a mask of floats": (lambda: _masked(TensorProto.FLOAT, ["t", "b"]), [], r"\(--set mask=VALUE\)$", "1"),
    "a mask of a loop": (
        lambda: loop_files.loop(loop_files.lstm, 2, mask="given"),
        [],
        "or set it, if it masks no frame: --set mask=1$",
        "",
    ),
    "an option of an If": (_conditional, [], r"depends on 'rate', .*set it \(--set rate=VALUE\), else", "16000"),
    "a vector": (lambda: _conditioned(["unk__8", 3]), [], r"stay the same for a stream \(--set knob=VALUE\)", "0.5"),
    "a frame of no size": (_open_frame, [], "wanted the number of new values per frame: --frame N", "5"),
    "a frame of another size": (
        foreign_files.one_frame,
        ["--frame", "4", "--context", "3"],
        "takes 5 values per frame, .* leave --frame out, with --context 2 or less",
        "",
    ),
    "too long a context": (foreign_files.one_frame, ["--context", "3"], "one frame of it: --context 2 or less", ""),
}


def _followed(options: list[str], message: str, value: str) -> list[str]:
    """Return the options after the first way out that a message names."""
    text = message.replace("VALUE", value).replace("--frame N", f"--frame {value}")
    out = re.findall(rf"(?:in place of|leave out) ({OPTION})", text)
    named = [option for option in re.findall(OPTION, text) if option not in out][:1]
    pairs = [" ".join(pair) for pair in zip(options[::2], options[1::2], strict=True)]
    replaced = tuple(option.rstrip("0123456789") for option in named)  # an option of a number is given once
    kept = [pair for pair in pairs if pair not in out and not (replaced and pair.rstrip("0123456789") in replaced)]
    if "leave --frame out" in text:
        kept = [pair for pair in kept if not pair.startswith("--frame")]
    same = tuple(option.partition("=")[0] + "=" for option in named if "=" in option)
    return " ".join([*(pair for pair in kept if not pair.startswith(same)), *named]).split()


@pytest.mark.parametrize("name", FILES)
def test_row_121_the_options_that_lift_names_lead_to_a_file(name: str, tmp_path: Path, tide: Command) -> None:
    make, options, message, value = FILES[name]
    source, target = tmp_path / "m.onnx", tmp_path / "s.onnx"
    onnx.save(make(), source)
    first = tide("lift", source, "-o", target, *options)
    assert first.status == 1
    assert re.search(message, first.err.strip()), first.err
    said = first
    for _ in range(3):  # a file may have several states
        assert not target.exists()
        options = _followed(options, said.err.strip(), value)
        said = tide("lift", source, "-o", target, *options)
        if said.status == 0:
            break
    assert said.status == 0, said.err
    assert "native" not in said.out.partition("Not run on")[2]
    assert tidegate.load(target).stream().frames == 0


def test_states_that_no_output_returns_are_exported_again_as_the_message_says(tmp_path: Path, tide: Command) -> None:
    onnx.save(_without("cn", "hn"), tmp_path / "m.onnx")
    said = " ".join(tide("lift", tmp_path / "m.onnx", "-o", tmp_path / "s.onnx").err.split())
    assert "export the model with its final states as outputs, or set what a stream starts from" in said
    onnx.save(foreign_files.with_states(PAIRS), tmp_path / "m.onnx")
    assert tide("lift", tmp_path / "m.onnx", "-o", tmp_path / "s.onnx").status == 0


def test_a_vector_that_a_caller_changes_is_static_as_the_message_says(tmp_path: Path, tide: Command) -> None:
    source, target = tmp_path / "m.onnx", tmp_path / "s.onnx"
    onnx.save(_conditioned(["unk__8", 3]), source)
    assert "or say which a caller may change (--static knob)" in tide("lift", source, "-o", target).err
    assert tide("lift", source, "-o", target, "--static", "knob").status == 0
    np.save(tmp_path / "knob.npy", np.ones((1, 3), np.float32))
    assert tide("lift", source, "-o", target, "--set", f"knob={tmp_path / 'knob.npy'}").status == 0


def test_a_signal_that_has_the_name_of_a_state_is_found_by_the_graph(tmp_path: Path, tide: Command) -> None:
    onnx.save(_signal_like_a_state(), tmp_path / "m.onnx")
    assert tide("lift", tmp_path / "m.onnx", "-o", tmp_path / "s.onnx").status == 0
    onnx.save(_renamed(foreign_files.with_states(), x="h"), tmp_path / "m.onnx")
    assert tide("lift", tmp_path / "m.onnx", "-o", tmp_path / "s.onnx").status == 0
