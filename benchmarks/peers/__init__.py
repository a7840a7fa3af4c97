"""The peers: one adapter per runtime, each driven by the fastest method we know.

Each peer runs in its own process and, because their requirements conflict, in its own environment. So the files in
this folder may import only NumPy and the peer's own packages. An adapter has

- `PACKAGES`: the modules that must be installed to load a model;
- `DISTRIBUTIONS` (optional): required distributions that have no module;
- `TOOLS` (optional): the modules that must be installed to prepare a model, if they differ from `PACKAGES`;
- `TOOLS_HOME` (optional): the environment with the tools; empty means the harness's environment, none means its own;
- `VARIANTS`: the precisions and calls that are measured, or `variants(job)` if they depend on the job;
- `files(job, variant)` (optional): the files that a device must hold;
- `prepare(job, variant)` (optional): makes the files of a variant, in a separate process;
- `load(job, variant)`: returns a step function. It takes a chunk `[frames, features]`, carries the state, and returns
  the answers. If it returns None, no error is computed.

An adapter raises `CannotRunError` if it cannot do something. Tables show the reason.
"""

ADAPTERS = (
    "tidegate",
    "onnxruntime",
    "pytorch",
    "openvino",
    "litert",
    "ncnn",
    "tract",
    "mnn",
    "onednn",
    "executorch",
    "rtneural",
    "by_hand",
)
OTHER_BUILD = "other build"  # a second tidegate, from another environment
MACHINE = "machine"  # no runtime: measured in every open loop, because the machine itself has a latency
