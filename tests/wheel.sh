#!/usr/bin/env bash
# Builds the wheel, installs it alone (no torch, no onnxruntime) and runs the suite against it, away from the source.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT

"$root/.venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps \
  --wheel-dir "$away" "$root"
"${PYTHON:-python3}" -m venv "$away/venv"
"$away/venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" \
  "$away"/tidegate-*.whl hypothesis pytest
cp -r "$root/tests" "$root/pyproject.toml" "$away"
cd "$away"
venv/bin/python -c 'import sys, tidegate; assert tidegate.__file__.startswith(sys.prefix), tidegate.__file__'
# Those that need no extra: torch, onnxruntime, soundfile and matplotlib are not here.
venv/bin/python -m pytest tests/runtime/test_engine.py tests/runtime/test_reference.py tests/quant/test_rounding.py tests/api/test_init.py -q
