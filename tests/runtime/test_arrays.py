"""Answers of several pushes as that of one."""

import numpy as np
from tidegate.runtime.arrays import joined_answers


def test_answers_with_a_time_axis_are_joined_and_of_others_the_last_counts() -> None:
    first, last = np.ones((2, 3), np.float32), np.zeros((1, 3), np.float32)
    assert joined_answers([first], {"y": True}) is first
    np.testing.assert_array_equal(joined_answers([first, last], {"y": True}), np.concatenate([first, last]))
    assert joined_answers([first, last], {"y": False}) is last
    both = joined_answers([{"y": first, "z": first}, {"y": last, "z": last}], {"y": True, "z": False})
    assert both["y"].shape == (3, 3)
    assert both["z"] is last
