#!/usr/bin/env bash
# Builds the wheel, installs it with the extras that need neither torch nor onnxruntime, and runs the tests that need neither,
# outside the checkout.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT

bash "$root/bindings/python/wheel.sh" "$away"
"${PYTHON:-python3}" -m venv "$away/venv"
wheel=$(echo "$away"/tidegate-*.whl)
"$away/venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" \
  "$wheel[live,serve,client,s3,sign]" hypothesis pytest pytest-xdist 'moto[s3]' flask flask-cors
cp -r "$root/tests" "$root/pyproject.toml" "$away"
cd "$away"
venv/bin/python -c 'import sys, tidegate; assert tidegate.__file__.startswith(sys.prefix), tidegate.__file__'
# The source of the timing program is in no wheel: one line says so.
said=$(venv/bin/python -m tidegate.benchmarks.bounds 2>&1 || true)
[[ $said == "bounds: error: there is no "*", wanted "* && $said != *$'\n'* ]] || { echo "bounds said: $said" >&2 && exit 1; }
# Leaves out the files that import an extra at their top (directly or through tools.matrix) or need data from outside the
# checkout.
mapfile -t others < <(grep -rlE '^(import|from) (torch|onnxruntime|soundfile|tools\.(shared|matrix))\b' tests/runtime tests/quant tests/api)
# These look for torch's names, lift files or build for WebAssembly, which needs extras too.
others+=(tests/api/test_{messages,advice_of_lift,frontend}.py tests/runtime/lowering/test_sequences.py tests/runtime/device/test_{module,web,compiling}.py)
# Each function once, with its first parameters and few random cases: the checkout has run them all, and here a file may be missing.
TIDEGATE_CASES=20 venv/bin/python -m pytest -n auto --dist loadfile --sample 100 -q "${others[@]/#/--ignore=}" tests/runtime tests/quant tests/api
