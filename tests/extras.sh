#!/usr/bin/env bash
# Builds the wheel, and asks pip in an empty environment what each extra would install: a floor that no release meets, or two
# that exclude each other, end with an error. Nothing is installed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT

bash "$root/bindings/python/wheel.sh" "$away"
"${PYTHON:-python3}" -m venv "$away/venv"
wheel=$(echo "$away"/tidegate-*.whl)
extras=$("$root/.venv/bin/python" -c 'import sys, tomllib; print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["optional-dependencies"])' "$root/pyproject.toml")
for extra in "" $extras; do
  "$away/venv/bin/python" -m pip install --disable-pip-version-check --dry-run --only-binary :all: -c "$root/constraints.txt" \
    "$wheel${extra:+[$extra]}" >"$away/log" || { cat "$away/log" >&2; echo "tidegate[$extra] does not resolve" >&2; exit 1; }
  echo "tidegate[$extra]: $(sed -n 's/^Would install //p' "$away/log" | wc -w) packages"
done
