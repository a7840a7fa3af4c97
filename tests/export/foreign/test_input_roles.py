"""Roles of a foreign file's inputs: the signal and the states, whatever their names and order."""

import copy
from itertools import permutations

import onnx
import pytest
from tidegate.export.foreign.input_roles import as_shape, find_roles, likely_signal
from tidegate.export.graph.recurrent_nodes import name_nodes
from tidegate.runtime.errors import ContractError, UnsupportedError
from tools import foreign_files

PAIRS = [("h0", "hn"), ("c0", "cn")]


def _ordered(model: onnx.ModelProto, order: tuple[int, ...]) -> onnx.ModelProto:
    """Return a copy with its inputs in another order."""
    made = copy.deepcopy(model)
    items = [copy.deepcopy(made.graph.input[i]) for i in order]
    del made.graph.input[:]
    made.graph.input.extend(items)
    return made


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_roles_do_not_depend_on_the_order_of_inputs(order: tuple[int, ...]) -> None:
    model = _ordered(foreign_files.with_states(PAIRS), order)
    roles = find_roles(model, None)
    assert (likely_signal(model, None), roles.signal) == ("x", "x")
    assert {(known.state.input, known.state.output, known.state.kind) for known in roles.states} == {
        ("h0", "hn", "h"),
        ("c0", "cn", "c"),
    }


def test_a_state_of_layers_knows_what_each_layer_starts() -> None:
    model = foreign_files.with_states(PAIRS)
    names = [node.name for node in model.graph.node if node.op_type == "LSTM"]
    for known in find_roles(model, None).states:
        assert known.state.shape == (2, "batch", 6)
        assert known.declared == (2, "batch", 6)
        assert not known.packed
        assert [(name, slot.kind) for name, slot in known.starts] == [(name, known.state.kind) for name in names]


def test_a_state_in_another_layout_is_packed() -> None:
    model = foreign_files.dtln()
    name_nodes(model)
    (known,) = find_roles(model, None).states
    assert known.packed
    assert (known.state.kind, known.state.shape, len(known.starts)) == ("state", (1, 2, 8, 2), 4)


def test_a_packed_state_whose_values_start_two_states_is_refused() -> None:
    model = foreign_files.dtln(layers=1)
    twin = copy.deepcopy(next(node for node in model.graph.node if node.op_type == "LSTM"))
    twin.output[:] = ["twin_y", "twin_h", "twin_c"]
    model.graph.node.append(twin)
    model.graph.output.append(onnx.helper.make_tensor_value_info("twin_y", onnx.TensorProto.FLOAT, None))
    name_nodes(model)
    message = (
        r"state input 'input_3' starts LSTM .* and LSTM .* from the same of its values, .*; export the model with "
    )
    with pytest.raises(ContractError, match=message + "one state for each layer"):
        find_roles(model, None)
    assert find_roles(foreign_files.dtln(layers=1), None).states


def test_pairs_of_the_caller_are_checked_in_the_graph() -> None:
    model = foreign_files.with_states([("a", "u"), ("b", "v")])
    assert len(find_roles(model, {"a": "u", "b": "v"}).states) == 2
    with pytest.raises(
        ContractError, match=r"'a', which starts LSTM .* is paired with output 'v', which holds the final "
    ):
        find_roles(model, {"a": "v", "b": "u"})
    with pytest.raises(
        ContractError, match=r"'a', .* paired with output 'y', which holds not only a final state, not "
    ):
        find_roles(model, {"a": "y", "b": "v"})


def test_a_file_whose_inputs_may_all_be_states_is_refused() -> None:
    model = foreign_files.with_states(PAIRS)
    model.graph.input.remove(next(item for item in model.graph.input if item.name == "x"))
    with pytest.raises(ContractError, match=r"every input \('h0', 'c0'\) may be a state .*: --state h0=hn"):
        likely_signal(model, None)
    del model.graph.input[:]
    with pytest.raises(ContractError, match="the file has no input, wanted one signal"):
        likely_signal(model, None)


def test_an_input_with_the_name_of_a_state_that_starts_no_layer_is_refused() -> None:
    model = foreign_files.with_states(PAIRS)
    for items, name in ((model.graph.input, "cache"), (model.graph.output, "cache_out")):
        items.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]))
    model.graph.node.append(onnx.helper.make_node("Identity", ["cache"], ["cache_out"]))
    with pytest.raises(
        UnsupportedError,
        match=r"state input 'cache' \(fed by 'cache_out'\) starts no LSTM, .*causal nn.Conv1d: let the module pad on",
    ):
        find_roles(model, None)


def test_open_sizes_of_a_state_are_the_batch() -> None:
    assert as_shape((2, "N", 6)) == as_shape((2, None, 6)) == (2, "batch", 6)
    assert as_shape((1, 1, 6)) == (1, 1, 6)


def test_one_of_several_states_is_the_signal_if_it_is_left_out() -> None:
    model = foreign_files.with_states()
    del model.graph.input[0]
    message = r"may be a state by its name, .*; leave out the one that is no state: --state h0=hn --state c0=cn"
    with pytest.raises(ContractError, match=message):
        likely_signal(model, {"h0": "hn", "c0": "cn"})
    assert likely_signal(model, {"c0": "cn"}) == "h0"
