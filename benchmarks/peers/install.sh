#!/usr/bin/env bash
# Makes an environment for each peer that is on PyPI, in a folder: `bash install.sh build/peers`.
# PyTorch, onnxruntime and NumPy by hand run in the environment of tidegate itself.
set -euo pipefail
constraints=$(cd "$(dirname "$0")" && pwd)/constraints.txt
mkdir -p "$1" && cd "$1"

peer() { # NAME PACKAGE...
  local name=$1
  shift
  [ -e "$name/.ready" ] && return
  echo "peers: $name: $*"
  "${PYTHON:-python3}" -m venv "$name"
  "$name/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" numpy "$@" && touch "$name/.ready" ||
    echo "peers: $name cannot be installed here; tables will show this" >&2
}

peer openvino openvino nncf
peer litert ai-edge-litert
peer tensorflow tensorflow-cpu tf-keras tflite-micro safetensors # the converter of litert, and tests/devices/tflm.py
peer ncnn ncnn
peer tract tract
peer mnn MNN
peer onednn onednn-devel-cpu-gomp
peer executorch torch executorch
