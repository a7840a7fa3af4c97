#!/usr/bin/env bash
# Builds this tree with every push some percent slower, in its own environment: `bash slowed.sh 10 build/slowed`.
# It is a test for `tidegate bench --against build/slowed/venv/bin/python`. 0 percent builds the same code again.
set -euo pipefail
percent=$1
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$2" && cd "$2"
rm -rf source wheel
mkdir source
(cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$OLDPWD/source")
python3 - "$percent" source/runtime/kernels/src/push.c <<'PATCH'
import sys
from pathlib import Path
percent, path = int(sys.argv[1]), Path(sys.argv[2])
text = path.read_text()
head = "tide_status tide_push("
assert text.count(head) == 1, "push.c has changed"
text = "#include <x86intrin.h>\n" + text.replace(head, "static tide_status push_as_it_is(")
text += f"""
tide_status tide_push(tide_stream *stream, const float *frames, size_t count, float *const *outputs) {{
  const uint64_t start = __rdtsc();
  const tide_status status = push_as_it_is(stream, frames, count, outputs);
  const uint64_t end = start + (__rdtsc() - start) * (100 + {percent}) / 100;
  while (__rdtsc() < end);
  return status;
}}
"""
path.write_text(text)
PATCH
"$root/.venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps \
  --wheel-dir wheel ./source
test -e venv || python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps wheel/tidegate-*.whl
# All other packages come from the environment of this tree.
"$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
  >"$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/others.pth"
