"""What stands where in a plan; docs/plan.md is the specification, and files of others are read by it."""

import json
import struct
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import Slot
from tidegate.runtime.operators.frame import Take
from tidegate.runtime.plan.writer import HEADER, KINDS, MATRIX, OP, c_name, c_source, compile_program, read_header
from tidegate.runtime.program import Elementwise, Linear, Program, Reading
from tools.random_layers import lstm, matrix
from tools.streams import contract_of


def program(bits: int = 16, **more: object) -> Program:
    """Return an LSTM 3 -> 4, a gain, and a linear layer 4 -> 3."""
    rng = np.random.default_rng(0)
    gain = Elementwise((1,), "mul", np.arange(1, 5, dtype=np.float32))
    linear = Linear((2,), matrix(rng, 3, 4, Reading.FRAME, bits), np.ones(3, np.float32))
    ops = (lstm(rng, 0, (3, 4), Reading.FRAME, 16), gain, linear)
    return Program(3, ops, (("y", 3), ("h", 1)), **more)  # type: ignore[arg-type]


def plan_of(one: Program) -> bytes:
    return compile_program(one, contract_of(one))


def numbers_of(plan: bytes, op: int) -> tuple[int | float | bytes, ...]:
    return OP.unpack_from(plan, HEADER.size + op * OP.size)


def test_records_have_their_sizes() -> None:
    assert (HEADER.size, OP.size, MATRIX.size) == (128, 256, 48)


def test_the_header_says_where_all_is() -> None:
    plan = plan_of(program())
    head = read_header(plan)
    assert (head.magic, head.version, head.flags) == (b"TIDEGATE", 2, 0)
    assert head.hash == blake2b(plan[48:], digest_size=32).digest() == plan[16:48]
    assert (head.size, head.operations, head.outputs, head.input_width, head.input_kind) == (len(plan), 3, 2, 3, 0)
    assert (head.operations_at, head.outputs_at) == (128, 128 + 3 * 256)
    assert struct.unpack_from("<2I", plan, head.outputs_at) == (3, 1)
    assert head.text_at == head.outputs_at + 64
    assert (head.block, head.lookahead, head.limit, head.shapes) == (0, 0, 0, 0)
    assert len(plan) % 64 == 0
    ids = plan_of(program(ids=True))
    assert read_header(ids).input_kind == 1


def test_the_text_is_json_of_these_fields() -> None:
    one = program(frame=(1, 3), shapes={"y": (3, 1)})
    plan, head = plan_of(one), read_header(plan_of(one))
    assert plan[head.text_at : head.text_at + head.text_size].decode() == json.dumps(
        {
            "contract": contract_of(one).to_json(),
            "outputs": ["y", "h"],
            "slots": [[slot.name, slot.index] for slot in one.slots],
            "shapes": [[3, 1], [4]],
            "frame": [1, 3],
        },
        separators=(",", ":"),
    )
    assert (head.flags, head.shapes) == (2, 1)
    plain, head = plan_of(program()), read_header(plan_of(program()))
    assert [*json.loads(plain[head.text_at : head.text_at + head.text_size])] == ["contract", "outputs", "slots"]


@pytest.mark.parametrize(
    ("blocks", "grid"),
    [(Blocks(4, 2), (4, 2, 0)), (Blocks(4, 0), (4, 0, 0)), (Blocks(None, 0, 9), (0, 0, 9))],
)
def test_the_grid_of_blocks_is_in_the_header(blocks: Blocks, grid: tuple[int, int, int]) -> None:
    plain = program()
    contract = replace(contract_of(plain), blocks=blocks, lookahead=None if blocks.frames is None else 5)
    head = read_header(compile_program(replace(plain, blocks=blocks), contract))
    assert (head.block, head.lookahead, head.limit) == grid


def test_initial_states_have_a_flag_and_a_place() -> None:
    h, c = program().slots
    started = plan_of(program(starts={c: np.arange(1, 5, dtype=np.float32)}))
    assert read_header(started).flags == 1
    first, second = numbers_of(started, 0)[-2:]
    assert first == 0
    assert isinstance(second, int)
    np.testing.assert_array_equal(np.frombuffer(started, "<f4", 4, second), [1, 2, 3, 4])
    assert isinstance(h, Slot)
    assert numbers_of(plan_of(program()), 0)[-2:] == (0, 0)
    both = plan_of(program(starts={c: np.ones(4, np.float32)}, shapes={"y": (3, 1)}))
    assert read_header(both).flags == 3


def test_records_have_what_the_operation_has() -> None:
    one = program()
    plan = plan_of(one)
    for at, op in enumerate(one.ops):
        record, seen = op.record(), numbers_of(plan, at)
        kind, function, *rest = seen
        assert kind == KINDS[type(op)]
        assert function == record.function
        assert rest[:2] == [*op.inputs, 0][:2]
        assert rest[2:6] == [*record.counts, 0, 0, 0, 0][:4]
        np.testing.assert_array_equal(rest[6:10], np.array([*record.numbers, 0, 0, 0, 0][:4], np.float32))
        assert [bool(any(places)) for places in rest[10:13] if isinstance(places, bytes)] == [
            count < len(record.matrices) for count in range(3)
        ]
        for place, vector in zip(rest[13:15], record.vectors, strict=False):
            assert isinstance(place, int)
            assert place % 64 == 0
            np.testing.assert_array_equal(np.frombuffer(plan, "<f4", vector.size, place), vector.ravel())
        assert rest[13 + len(record.vectors) : 15] == [0] * (2 - len(record.vectors))


@pytest.mark.parametrize(("bits", "kind"), [(8, "<i1"), (16, "<i2"), (32, "<f4")])
def test_a_matrix_has_its_codes_and_scales(bits: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    given = matrix(rng, 3, 5, Reading.FRAME, 16, weights=(bits, 0))
    one = Program(5, (Linear((0,), given, np.ones(3, np.float32)),), (("y", 1),))
    plan = plan_of(one)
    record = numbers_of(plan, 0)[12]
    assert isinstance(record, bytes)
    codes, scales, rows, columns, *reads = MATRIX.unpack(record)
    assert (codes % 64, scales % 64, rows, columns) == (0, 0, 3, 5)
    np.testing.assert_array_equal(np.frombuffer(plan, kind, 15, codes).reshape(3, 5), given.codes)
    np.testing.assert_array_equal(np.frombuffer(plan, "<f4", given.scales.size, scales), given.scales.ravel())
    assert reads[:5] == [given.reading.value, given.bits, given.weight_bits, given.group, given.exponent]
    assert reads[5] == 0


def test_codes_of_4_bits_share_a_byte_the_first_in_the_low_half() -> None:
    given = matrix(np.random.default_rng(0), 3, 5, Reading.FRAME, 16, weights=(4, 0))
    plan = plan_of(Program(5, (Linear((0,), given, np.ones(3, np.float32)),), (("y", 1),)))
    record = numbers_of(plan, 0)[12]
    assert isinstance(record, bytes)
    stored = np.frombuffer(plan, np.uint8, 9, MATRIX.unpack(record)[0]).reshape(3, 3)
    halves = np.stack([stored & 15, stored >> 4], 2).reshape(3, 6).astype(np.int8)
    np.testing.assert_array_equal((halves[:, :5] ^ 8) - 8, given.codes)
    np.testing.assert_array_equal(halves[:, 5], 0)


def test_whole_numbers_stay_whole() -> None:
    places = np.array([2, -1, 0, 5], np.int64)
    plan = plan_of(Program(6, (Take((0,), places),), (("y", 1),)))
    place = numbers_of(plan, 0)[15]
    assert isinstance(place, int)
    np.testing.assert_array_equal(np.frombuffer(plan, "<i4", 4, place), places)


@pytest.mark.parametrize(
    ("text", "name"), [("kws", "kws"), ("a-b.c d", "a_b_c_d"), ("7up", "_7up"), ("é", "_"), ("a_1", "a_1")]
)
def test_names_in_c(text: str, name: str) -> None:
    assert c_name(text) == name


def test_c_source_is_this() -> None:
    plan = plan_of(program())
    source = c_source(plan, "2 a")
    head, body = source.split("= {\n")
    assert head == (
        f"/* A plan of tidegate, hash {plan[16:48].hex()}.\n *\n *     extern const unsigned char _2_a_plan[];\n"
        " *     extern const size_t _2_a_plan_bytes;\n */\n#include <stddef.h>\n\n"
        "_Alignas(64) const unsigned char _2_a_plan[] "
    )
    rows, tail = body.split("};\n")
    assert bytes(map(int, rows.split(","))) == plan
    assert {len(row.strip(",").split(",")) for row in rows.splitlines()} == {32}
    assert tail == "const size_t _2_a_plan_bytes = sizeof _2_a_plan;\n"
