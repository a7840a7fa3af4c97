#!/usr/bin/env bash
# Runs again what depends on the processor. `make test` runs each variant of the engine by name, and all else on the best
# variant only. So here the tests that open models with the default variant run on AVX2 and on plain C. The tests that
# depend on 8-bit products of onnxruntime run on a processor on which these products saturate.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

default_variant=(
  tests/runtime tests/api tests/test_readme.py
  tests/quant/test_{precisions,integer_arithmetic,static_ranges}.py tests/quant/tuning
)
# The first two name every variant. No variant changes what the others do: they kill writers of files, follow the advice of
# messages, and hand frames from sources and doors to a stream.
left_out=(
  tests/runtime/test_engine.py tests/runtime/operators/test_matrix.py tests/runtime/test_files.py
  tests/api/test_{advice,messages,faults}.py tests/runtime/{live,serving}
)
# Nothing that runs torch: under qemu 7.2 with AVX2 it computes wrongly; onnxruntime does not.
saturating=(
  tests/export/foreign/test_dequantized.py tests/api/commands/test_lift.py tests/benchmarks/peers/test_onnxruntime.py
)

has=" $($python -c 'from tidegate.runtime._kernels import variants; print(*variants())') "
read -r best _ <<<"$has"
for isa in avx2 scalar; do
  if [[ $isa == "$best" ]]; then
    echo "variants: left out: $isa is this processor's best, on which make test runs"
  elif [[ $has == *" $isa "* ]]; then
    TIDEGATE_ISA=$isa $python -m pytest -n auto --dist loadfile -q -m "not slow" "${left_out[@]/#/--ignore=}" "${default_variant[@]}"
  else
    echo "variants: left out: this processor has no $isa"
  fi
done

# Not in parallel, because the workers that pytest starts would run on this processor.
if [[ $(uname -m) == x86_64 ]] && command -v qemu-x86_64 >/dev/null; then
  qemu-x86_64 -cpu Haswell $python -m pytest -q "${saturating[@]}" 2> >(grep -v "TCG doesn't support" >&2)
elif [[ -n ${CI:-} && $(uname -m) == x86_64 ]]; then
  echo "variants: qemu-x86_64 is not installed (.ci/run says which package has it)" >&2
  exit 1
else
  echo "variants: left out: nothing here shows a processor with AVX2 and without VNNI (qemu-x86_64 on x86-64 does)"
fi
