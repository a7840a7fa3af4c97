"""Other runtimes, each driven in its best known way, one adapter a file.

Each runs in a process and, since their needs differ, in an environment of its own: what stands in this folder needs
NumPy alone. An adapter has

- `PACKAGES`: what must be installed to load a model (`DISTRIBUTIONS`, what has no module of its own);
  `TOOLS`, where they differ, what must be to prepare one, in the
  environment `TOOLS_HOME` (its own if not said, that of the harness if empty);
- `VARIANTS`: its precisions, and the calls by which it is driven; or `variants(job)`, where they depend on the job;
- `prepare(job, variant)`: where there is one, makes files from a job, in a process of its own;
- `load(job, variant)`: a function that takes a chunk `[frames, features]`, carries its state, and answers (or answers
  nothing, and has no error then).

What cannot be done is a `CannotRunError` with the reason, which stands in the table.
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
    "by_hand",
)
OTHER_BUILD = "other build"  # tidegate of another environment, beside this one
MACHINE = "machine"  # no runtime: takes part in every open loop, so that what the machine itself takes is seen
