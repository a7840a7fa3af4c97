"""The C program that times plans, and the table of whole nets."""

import subprocess
from dataclasses import replace

from kernels.building import KERNELS, require
from tidegate.benchmarks import bounds
from tidegate.benchmarks.nets import whole_nets


def test_timing_program_still_fits_the_engine() -> None:
    """It reads plans by the engine's own headers; to build all of it would take half a minute."""
    flags = ("-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS / 'include'}")
    subprocess.run([require("cc"), *flags, bounds.HERE / "engine.c"], check=True)


def test_whole_net_is_set_against_its_layers_and_the_work_of_the_rest() -> None:
    net = whole_nets.nets()[0]
    alone = bounds.Row("", 16, 1, 1.0, 1.0, 1.0, 0.5, 0.5, 2.0)
    times = {net.whole: 4.5, net.layers[0]: 1.0, net.layers[1]: 2.0, net.others: 9.9}
    line = bounds.whole_line(net, 1, lambda plan, *_: replace(alone, push_us=times[plan]))
    assert line == [net.name, "1", "4.50", "3.00", "0.50", "2.00", "1.29", "short", "0.90"]
