#!/usr/bin/env bash
# Installs a wheel in an empty Debian root, without a compiler and without a network, and streams compiled plans there:
#
#     bash tests/empty_root.sh build/wheels/tidegate-*.whl
#
# It fails if that takes 60 s, or if the packages take 40 MB beside numpy. The root stays in build/debian for the next time.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
wheel=$(realpath "$1")
root=$top/build/debian
most_seconds=60
most_bytes=40000000
[ "$(id -u)" -eq 0 ] || { echo "empty_root: debootstrap and chroot need root: sudo bash $0 $1" >&2 && exit 1; }
command -v debootstrap >/dev/null || { echo "empty_root: debootstrap is not installed: apt-get install debootstrap" >&2 && exit 1; }

# Python and its installer, and what Debian's smallest root has. A root that was interrupted has no mark, and is made anew.
if [ ! -e "$root/finished" ]; then
  rm -rf "$root"
  debootstrap --variant=minbase --include=python3,python3-pip bookworm "$root" >"$root.log" || { tail "$root.log" >&2 && exit 1; }
  touch "$root/finished"
fi
for compiler in cc gcc c++ clang; do
  ! chroot "$root" sh -c "command -v $compiler" || { echo "empty_root: $root has $compiler, wanted no compiler; remove it" >&2 && exit 1; }
done
rm -rf "$root/trial" && mkdir -p "$root/trial/wheels" "$root/trial/vectors"
cp "$wheel" "$root/trial/wheels"
cp "$top/tests/wheel_in_use.py" "$root/trial"
cp "$top"/tests/vectors/{lstm_8_bits,lstm_16_bits,wide}.* "$root/trial/vectors"
"$top/.venv/bin/python" -m pip download --quiet --disable-pip-version-check -c "$top/constraints.txt" --only-binary :all: \
  --no-deps --python-version 3.11 --dest "$root/trial/wheels" numpy

start=$(date +%s%N)
unshare --net chroot "$root" sh -ec '
  cd /trial
  python3 -m pip install --quiet --root-user-action ignore --no-index --find-links wheels --target packages tidegate
  PYTHONPATH=packages python3 wheel_in_use.py'
seconds=$((($(date +%s%N) - start) / 1000000000))
bytes=$(cd "$root/trial/packages" && find . -path './numpy*' -prune -o -type f -print0 | du --files0-from=- --bytes --total | tail -1 | cut -f1)
rm -rf "$root/trial"
echo "$(basename "$wheel"): installed and streamed in $seconds s, $bytes bytes beside numpy"
[ "$seconds" -lt "$most_seconds" ] || { echo "empty_root: wanted less than $most_seconds s" >&2 && exit 1; }
[ "$bytes" -lt "$most_bytes" ] || { echo "empty_root: wanted less than $most_bytes bytes" >&2 && exit 1; }
