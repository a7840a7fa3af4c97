"""C functions that replace functions of the C library."""

from pathlib import Path

from kernels.building import KERNELS, require, run

ROOTS = """
#include <stdio.h>
#include "functions.h"
int main(void) {
  uint32_t seen = 0;
  for (uint32_t bits = 0x00800000u; bits < 0x7f800000u; bits += 509, seen++) {
    float x;
    memcpy(&x, &bits, sizeof x);
    if (tide_sqrt_of_bits(x) != sqrtf(x)) return printf("%a: %a\\n", x, tide_sqrt_of_bits(x)), 1;
  }
  if (tide_sqrt_of_bits(0.0f) != 0.0f || !isnan(tide_sqrt_of_bits(-1.0f))) return 1;
  if (tide_sqrt_of_bits(INFINITY) != INFINITY) return 1;
  return printf("%u\\n", seen), 0;
}
"""


def test_integer_square_root_equals_the_one_of_the_processor(tmp_path: Path) -> None:
    """For every 509th normal float, so for all exponents."""
    (tmp_path / "roots.c").write_text(ROOTS)
    run(require("cc"), "-O2", f"-I{KERNELS / 'src'}", tmp_path / "roots.c", "-lm", "-o", tmp_path / "roots")
    assert int(run(tmp_path / "roots")) == (0x7F800000 - 0x00800000) // 509 + 1
