"""The list of variants, the folder of variants and the build agree."""

import re

import pytest
from kernels.building import KERNELS
from tidegate.runtime import _kernels

LISTED = re.findall(r"^TIDE_VARIANT\((\w+)\)$", (KERNELS / "src" / "variants.inc").read_text(), re.MULTILINE)


def test_list_and_folder_hold_the_same_variants() -> None:
    files = [path.stem for path in (KERNELS / "variants").glob("*.c")]
    assert sorted(LISTED) == sorted(files)


@pytest.mark.parametrize("name", LISTED)
def test_a_file_defines_the_variant_of_its_name(name: str) -> None:
    text = (KERNELS / "variants" / f"{name}.c").read_text()
    assert re.findall(r"^#define VARIANT (\w+)$", text, re.MULTILINE) == [name]


def test_build_keeps_the_order_of_the_list_with_plain_c_last() -> None:
    built = _kernels.variants(supported_only=False)
    assert built == [name for name in LISTED if name in built]
    assert built[-1] == "scalar"
    assert "scalar" in _kernels.variants()
