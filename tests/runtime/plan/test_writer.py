"""A plan that is truncated, altered or foreign is refused, and the message names the field."""

import contextlib
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tidegate.quant import quantize
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import ChunkError, PlanError
from tidegate.runtime.load import compile_model, load
from tidegate.runtime.operators import (
    OPERATORS,
    Binary,
    Concat,
    Embedding,
    LastCell,
    LayerNorm,
    Map,
    Operator,
    Reduce,
    Slice,
    Slot,
    Softmax,
    Window,
)
from tidegate.runtime.operators.pointwise import CONSTANTS
from tidegate.runtime.plan.magic import text_of
from tidegate.runtime.plan.writer import HASHED_FROM, HEADER, OP, c_source, compile_program, read_header, seal
from tidegate.runtime.program import Elementwise, Last, Linear, Program, Reading
from tools.onnx_files import write_lstm
from tools.random_layers import gru, lstm, matrix, rnn
from tools.streams import contract_of


def small_plan() -> bytes:
    """An LSTM 3 -> 4, a gain, a linear layer, the last frame."""
    rng = np.random.default_rng(0)
    gain = Elementwise((1,), "div", np.full(4, 2, np.float32))
    linear = Linear((2,), matrix(rng, 2, 4, Reading.FRAME, 16), np.ones(2, np.float32))
    program = Program(3, (lstm(rng, 0, (3, 4), Reading.FRAME, 16), gain, linear, Last((3,))), (("y", 4),))
    return compile_program(program, contract_of(program))


def cells_plan() -> bytes:
    """A GRU 3 -> 4, an RNN 4 -> 2 with tanh, one 2 -> 2 with relu."""
    rng = np.random.default_rng(0)
    first = gru(rng, 0, (3, 4), Reading.FRAME, 16)
    second = rnn(rng, 1, (4, 2), Reading.HIDDEN, 16, function="tanh")
    third = rnn(rng, 2, (2, 2), Reading.HIDDEN, 16, function="relu")
    program = Program(3, (first, second, third), (("y", 3),))
    return compile_program(program, contract_of(program))


def started_plan() -> bytes:
    """An LSTM 3 -> 4 whose h starts from 1 to 4."""
    layer = lstm(np.random.default_rng(0), 0, (3, 4), Reading.FRAME, 16)
    program = Program(3, (layer,), (("y", 1),), starts={layer.h: np.arange(1, 5, dtype=np.float32)})
    return compile_program(program, contract_of(program))


@pytest.mark.parametrize(
    ("layer", "units", "message"),
    [
        (0, 4, "operation 2: layer is 0, wanted 1"),
        (2, 4, "operation 2: state vectors of the layer is 0, wanted 2"),
        (1, 3, "operation 2: units of the layer is 16, wanted 12"),
    ],
)
def test_a_final_c_is_that_of_an_lstm_of_its_size(layer: int, units: int, message: str) -> None:
    first = lstm(np.random.default_rng(0), 0, (3, 4), Reading.FRAME, 16)
    finals = LastCell((1,), 4), LastCell((layer,), units)
    good, bad = (Program(3, (first, Map((1,), "relu"), last), (("y", 3),)) for last in finals)
    contract = contract_of(good)
    assert NativeModel(compile_program(good, contract)).stream().push(np.ones((2, 3), np.float32)).shape == (4,)
    with pytest.raises(PlanError, match=message):
        NativeModel(compile_program(bad, contract))


def test_plan_file_gives_the_bits_of_the_onnx_file(tmp_path: Path) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    size = compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    assert size == (tmp_path / "m.tide").stat().st_size
    frames = np.random.default_rng(0).normal(0, 1, (30, 6)).astype(np.float32)
    from_onnx, from_plan = (load(tmp_path / name).stream() for name in ("m.int8.onnx", "m.tide"))
    np.testing.assert_array_equal(from_onnx.push(frames), from_plan.push(frames))
    for name, values in from_onnx.state().items():
        np.testing.assert_array_equal(from_plan.state()[name], values)


@pytest.mark.parametrize(("stem", "name"), [("kws", "kws"), ("kws-2.int8", "kws_2_int8"), ("2", "_2"), ("int", "int")])
def test_c_source_holds_the_bytes_of_the_plan(stem: str, name: str) -> None:
    plan = small_plan()
    before, _, rest = c_source(plan, stem).partition(f"_Alignas(64) const unsigned char {name}_plan[] = {{")
    numbers, _, after = rest.partition("};")
    assert bytes(map(int, numbers.split(","))) == plan
    assert after == f"\nconst size_t {name}_plan_bytes = sizeof {name}_plan;\n"
    assert plan[16:48].hex() in before


def test_every_truncation_is_refused() -> None:
    plan = small_plan()
    for size in range(len(plan)):
        with pytest.raises(PlanError):
            NativeModel(plan[:size])


@pytest.mark.parametrize("make", [small_plan, cells_plan, started_plan])
def test_every_flipped_bit_is_refused(make: Callable[[], bytes]) -> None:
    plan = make()
    for bit in range(8 * len(plan)):
        altered = bytearray(plan)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PlanError):
            NativeModel(bytes(altered))


@pytest.mark.parametrize("make", [small_plan, cells_plan, started_plan])
def test_flipped_bits_under_a_repaired_hash_are_refused_or_run_within_bounds(make: Callable[[], bytes]) -> None:
    plan = make()
    frames = np.ones((20, 3), np.float32)
    for bit in range(8 * HASHED_FROM, 8 * len(plan)):
        altered = bytearray(plan)
        altered[bit // 8] ^= 1 << bit % 8
        try:
            stream = NativeModel(seal(altered)).stream()
        except PlanError:
            continue
        with contextlib.suppress(ChunkError):  # a smaller limit
            stream.push(frames)


def plan_of_many_operators() -> bytes:
    """Ids, and every operator that has counts, functions or two inputs."""
    rng = np.random.default_rng(0)
    ops = (
        Embedding((0,), rng.normal(0, 1, (5, 6)).astype(np.float32)),
        Embedding((0,), matrix(rng, 7, 3, Reading.FRAME, 16)),
        Slice((1,), 1, 2, 3),
        Concat((2, 3)),
        Binary((4, 4), "mul"),
        Reduce((5,), "mean"),
        Binary((4, 6), "sub"),
        LayerNorm((7,), np.ones(5, np.float32), np.zeros(5, np.float32), 1e-5),
        Softmax((8,), "softmax"),
        Map((9,), "leaky_relu", (0.1,)),
    )
    program = Program(1, ops, (("y", len(ops)),), ids=True)
    return compile_program(program, contract_of(program))


def test_altered_fields_of_every_operator_are_refused_or_run_within_bounds() -> None:
    plan = plan_of_many_operators()
    ids = np.zeros(20, np.int64)
    NativeModel(plan).stream().push(ids)
    for bit in range(8 * HASHED_FROM, 8 * (HEADER.size + 10 * OP.size)):
        altered = bytearray(plan)
        altered[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(PlanError, ChunkError):
            NativeModel(seal(altered)).stream().push(ids)


def at_op(op: int, offset: int) -> int:
    return HEADER.size + OP.size * op + offset


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (8, 3, "plan: version is 3, wanted 2; it is of another version of the format, compile it again"),
        (12, 1, "plan: flags is 1, wanted 0"),
        (12, 2, "plan: flags is 2, wanted 0"),
        (12, 4, "plan: flags is 4, wanted 3"),
        (116, 1, "plan: flags is 0, wanted 2"),
        (116, 2, "plan: shapes is 2, wanted 1"),
        (56, 0, "plan: operations is 0, wanted 1"),
        (64, 99999, "plan: input width is 99999, wanted 16384"),
        (72, 64, "plan: operation table is 64, wanted 128"),
        (at_op(0, 0), 77, f"plan, operation 0: kind is 77, wanted {len(OPERATORS)}"),
        (at_op(0, 8), 1, "plan, operation 0: input is 1, wanted 0"),
        (at_op(0, 48 + 16), 17, "plan, operation 0: w.rows is 17, wanted 16"),
        (at_op(0, 48 + 24), 9, "plan, operation 0: w.reading is 9, wanted 2"),
        (at_op(0, 48 + 28), 17, "plan, operation 0: w.bits is 17, wanted 16"),
        (at_op(0, 48), 1 << 20, "plan, operation 0: w.codes is 1048576"),
        (at_op(0, 96), 65, "plan, operation 0: r.codes is 65, wanted 64"),
        (at_op(1, 4), 77, f"plan, operation 1: function is 77, wanted {len(CONSTANTS)}"),
        (at_op(2, 48 + 20), 5, "plan, operation 2: w.columns is 5, wanted 4"),
    ],
)
def test_each_field_is_checked_by_name(offset: int, value: int, message: str) -> None:
    plan = bytearray(small_plan())
    plan[offset : offset + 4] = struct.pack("<I", value)
    with pytest.raises(PlanError, match=message):
        NativeModel(seal(plan))


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (12, 0, "plan: flags is 0, wanted 1"),
        (at_op(0, 208), 0, "plan: flags is 1, wanted 0"),
        (at_op(0, 208), 65, "plan, operation 0: initial state is 65, wanted 64"),
        (at_op(0, 208), 1 << 20, "plan, operation 0: initial state is 1048576"),
        (at_op(0, 216), 64, "plan, operation 0: initial state is 64, wanted 128"),
    ],
)
def test_initial_states_are_checked_by_name(offset: int, value: int, message: str) -> None:
    plan = bytearray(started_plan())
    plan[offset : offset + 4] = struct.pack("<I", value)
    with pytest.raises(PlanError, match=message):
        NativeModel(seal(plan))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**65, 2.0**-61, 1e-40])
def test_an_initial_value_that_no_state_has_is_refused(value: float) -> None:
    plan = bytearray(started_plan())
    (values,) = struct.unpack_from("<Q", plan, at_op(0, 208))
    plan[values + 4 : values + 8] = struct.pack("<f", value)
    with pytest.raises(PlanError, match="plan, operation 0: initial state is"):
        NativeModel(seal(plan))


def test_only_a_plan_with_initial_states_has_the_flag() -> None:
    """So the plans of before are written as before, and an engine of before refuses such a plan by its flags."""
    flags = [read_header(plan()).flags for plan in (small_plan, cells_plan, started_plan)]
    assert flags == [0, 0, 1]
    np.testing.assert_array_equal(NativeModel(started_plan()).stream().states()[0], [1, 2, 3, 4])


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 2.0**-41, 2.0**41])
def test_a_range_that_is_none_is_refused(value: float) -> None:
    plan = bytearray(small_plan())
    plan[at_op(0, 48 + 24) : at_op(0, 48 + 28)] = struct.pack("<I", 4)
    plan[at_op(0, 48 + 44) : at_op(0, 48 + 48)] = struct.pack("<f", value)
    with pytest.raises(PlanError, match=r"plan, operation 0: w\.range is "):
        NativeModel(seal(plan))


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (at_op(0, 48 + 16), 16, "plan, operation 0: w.rows is 16, wanted 12"),
        (at_op(0, 96 + 24), 1, "plan, operation 0: r.reading is 1, wanted 2"),
        (at_op(0, 192), 1, "plan, operation 0: bias is 1, wanted 0"),
        (at_op(0, 200), 65, "plan, operation 0: candidate bias is 65, wanted 64"),
        (at_op(1, 4), 3, "plan, operation 1: function is 3, wanted 2"),
        (at_op(1, 4), 0, "plan, operation 1: function is 0, wanted 1"),
        (at_op(1, 4), 2, "plan, operation 1: r.reading is 2, wanted 1"),
        (at_op(1, 48 + 16), 6, "plan, operation 1: w.rows is 6, wanted 2"),
        (at_op(2, 4), 1, "plan, operation 2: r.reading is 1, wanted 2"),
    ],
)
def test_each_field_of_the_other_cells_is_checked_by_name(offset: int, value: int, message: str) -> None:
    plan = bytearray(cells_plan())
    plan[offset : offset + 4] = struct.pack("<I", value)
    with pytest.raises(PlanError, match=message):
        NativeModel(seal(plan))


@pytest.mark.parametrize(
    ("value", "field"), [(np.nan, "w.scales"), (-1.0, "w.scales"), (2.0**41, "w.scales"), (0.0, "w.scales")]
)
def test_row_12_scales_that_cannot_be_are_refused(value: float, field: str) -> None:
    plan = bytearray(small_plan())
    (scales,) = struct.unpack_from("<Q", plan, at_op(0, 48 + 8))
    plan[scales : scales + 4] = struct.pack("<f", value)
    with pytest.raises(PlanError, match=f"operation 0: {field}"):
        NativeModel(seal(plan))


def test_row_8_weight_code_minus_128_is_refused() -> None:
    plan = bytearray(small_plan())
    (codes,) = struct.unpack_from("<Q", plan, at_op(0, 48))
    plan[codes] = 0x80
    with pytest.raises(PlanError, match=r"operation 0: w\.codes is 128, wanted 127"):
        NativeModel(seal(plan))


# ---- small plans that ask for much ----


def plan_of(*ops: Operator, width: int = 3) -> bytearray:
    program = Program(width, ops, (("y", len(ops)),))
    return bytearray(compile_program(program, contract_of(program)))


def test_array_that_serves_twice_is_refused() -> None:
    """Otherwise a plan of a few KB could name one matrix a thousand times, and its check would take very long."""
    rng = np.random.default_rng(0)
    layers = [Linear((i,), matrix(rng, 64, 64, Reading.FRAME, 16), np.ones(64, np.float32)) for i in range(3)]
    plan = plan_of(*layers, width=64)
    for field in (48, 56, 192):  # the second and third name codes, scales and bias of the first
        for op in (1, 2):
            plan[at_op(op, field) : at_op(op, field + 8)] = plan[at_op(0, field) : at_op(0, field + 8)]
    with pytest.raises(PlanError, match=f"plan, operation 1: size of all arrays is 9759, wanted {len(plan) // 2}"):
        NativeModel(shortened(plan))


def shortened(plan: bytearray) -> bytes:
    """Return a plan without its second half, which has the arrays that nothing names now."""
    half = plan[: len(plan) // 2]
    struct.pack_into("<Q", half, 48, len(half))
    return seal(half)


def test_values_that_are_too_wide_together_are_refused() -> None:
    widening = [Slice((0,), 0, 1, 1)] + [Concat((i, i)) for i in range(1, 15)]  # 16384 features
    many = widening + [Map((15,), "tanh")] * 70
    with pytest.raises(PlanError, match="width of all values is 1064959, wanted 1048576"):
        NativeModel(bytes(plan_of(*many)))


def test_windows_that_carry_too_much_together_are_refused() -> None:
    windows = [Window((0,), 2, 200_000, 1, Slot(f"w{i}.tail", 0)) for i in range(6)]
    with pytest.raises(PlanError, match="operation 5: tails of all windows is 1200000, wanted 1048576"):
        NativeModel(bytes(plan_of(*windows, width=1)))


def test_damaged_plan_file_is_refused_by_load(tmp_path: Path) -> None:
    plan = small_plan()
    (tmp_path / "cut.tide").write_bytes(plan[:-1])
    with pytest.raises(PlanError, match=f"cut.tide: plan: size is {len(plan) - 1}, wanted {len(plan)}"):
        load(tmp_path / "cut.tide")


def test_frames_ahead_that_never_come_cost_no_time_each() -> None:
    """A lookahead of half a million frames in a stream of three; frame by frame it would take an hour."""
    frames = 2**19
    stream = NativeModel(bytes(plan_of(Window((0,), 2, frames, 1, Slot("w.tail", 0), frames), width=1))).stream()
    chunk = np.array([[1], [2], [3]], np.float32)
    assert stream.push(chunk).shape == (0, 2)
    np.testing.assert_array_equal(stream.finish(), np.hstack([chunk, np.zeros_like(chunk)]))


# ---- the text, which the engine itself does not read ----


def with_text(plan: bytes, old: bytes, new: bytes) -> bytes:
    """Return a plan with a part of its text replaced by the same number of other bytes."""
    assert old in text_of(plan)
    assert len(old) == len(new)
    return seal(plan.replace(old, new))


DAMAGED_TEXTS = [
    (b'"outputs"', b'"outputz"', "plan: text is not readable ('outputs'); the file is damaged, compile it again"),
    (b'{"contract"', b'["contract"', "plan: text is not readable"),
    (b",0]]", b",7]]", "plan: its text does not name the engine's states; the file is damaged, compile it again"),
]


@pytest.mark.parametrize(("old", "new", "message"), DAMAGED_TEXTS)
def test_text_is_refused_when_it_is_first_asked_for(old: bytes, new: bytes, message: str) -> None:
    """A stream of a model with one output does not need the text, and reading it would take half of the start time."""
    model = NativeModel(with_text(small_plan(), old, new))
    stream, wanted = model.stream(), NativeModel(small_plan()).stream()
    chunk = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(stream.push(chunk), wanted.push(chunk), strict=True)
    for ask in (lambda: model.contract, stream.state):
        with pytest.raises(PlanError, match=re.escape(message)):
            ask()


@pytest.mark.parametrize(("old", "new", "message"), DAMAGED_TEXTS)
def test_text_that_names_several_outputs_is_refused_at_load(
    old: bytes, new: bytes, message: str, tmp_path: Path
) -> None:
    program = Program(
        3, (lstm(np.random.default_rng(0), 0, (3, 4), Reading.FRAME, 16), Last((1,))), (("y", 1), ("z", 2))
    )
    path = tmp_path / "m.tide"
    path.write_bytes(with_text(compile_program(program, contract_of(program)), old, new))
    with pytest.raises(PlanError, match=re.escape(f"{path}: {message}")):
        load(path)
