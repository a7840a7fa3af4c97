"""The table of whole nets, and who is judged by goals."""

from dataclasses import replace

import pytest
from tidegate.benchmarks import bounds
from tidegate.benchmarks.measuring.engine_times import Row
from tidegate.benchmarks.nets import whole_nets

ROW = Row("A", 16, 1, 1.0, 1.0, 1.0, 0.5, 0.5, 2.0, "vpdpbusd")


def test_whole_net_is_set_against_its_layers_and_the_work_of_the_rest() -> None:
    net = whole_nets.nets()[0]
    times = {net.whole: 4.5, net.layers[0]: 1.0, net.layers[1]: 2.0, net.others: 9.9}
    line = bounds.whole_line(net, 1, lambda plan, *_: replace(ROW, push_us=times[plan]), "avx512_vnni")
    assert line == [net.name, "1", "4.50", "3.00", "0.50", "2.00", "1.29", "short", "0.90"]


@pytest.mark.parametrize(("isa", "goal"), [("avx512_vnni", "stretch"), ("avx2", "-"), ("scalar", "-")])
def test_goals_are_of_the_variant_that_they_were_set_on(isa: str, goal: str) -> None:
    push, added = bounds.tables([ROW, replace(ROW, bits=8)], {"out=": 0.2}, isa)
    assert [row[push.columns.index("goal|")] for row in push.rows] == [goal, "-"]
    assert added.rows == [["out=", "0.20", "reached"]]
