"""The pages of the gallery: one for each model, and the overview docs/models.md."""

from collections.abc import Mapping, Sequence
from textwrap import fill

from measuring import Figures
from table import Model
from tidegate.benchmarks.tables import Table, micro, printable

MADE = "<!-- made by `make models`: change models.toml, then run it again -->\n"
COLUMNS = (
    "task|",
    "model|",
    "licence|",
    "float error",
    "int8 error",
    "us per frame",
    "99th percentile",
    "of real time",
    "plan bytes",
    "state bytes",
)

Results = Mapping[str, Figures | str]  # by the model's name: what was measured, or why nothing was


def head(model: Model) -> str:
    """Return the part of a model's page that is the same at every run: origin, licence, commands."""
    files = "\n".join(f"| [{file.name}]({file.link}) | `{file.sha256}` |" for file in model.file)
    return f"""{MADE}
# {model.title}

{_prose(f"{model.about} {model.frame}")}

By {model.owner}, under the [{model.licence}]({model.licence_link}) licence.
No part of it is in this repository: the commands fetch it, and `gallery.py` compares its SHA-256.

| file | SHA-256 |
|---|---|
{files}

In `examples/models` of a checkout:

```
{chr(10).join(model.fetching)}
```

Then the {"two" if model.codes else "three"} commands:

```
{chr(10).join(model.commands)}
```
"""


def page(model: Model, result: Figures | str) -> str:
    """Return the whole page of a model.

    Args:
        model: The model.
        result: What was measured, or why nothing was.
    """
    said = _prose(f"It does not stream yet: {_plain(result)}") if isinstance(result, str) else _figures(model, result)
    note = f"\n{_prose(model.note)}\n" if model.note else ""
    return f"{head(model)}\n{said}\n{note}\nAll models: [docs/models.md](../../docs/models.md).\n"


def _figures(model: Model, found: Figures) -> str:
    pushes = "one frame" if model.chunk == 1 else f"{model.chunk} frames"
    int8 = (
        "int8 is the file's own codes with activations of 16 bits."
        if model.codes
        else "int8 is W8A16 without calibration; [recordings of yours](../../docs/quantization.md) bring it closer."
    )
    text = (
        f"The errors are over {found.frames:,} frames, relative to the largest value of the original's answers, "
        f"{model.answers}. {int8} The times are of the int8 file, "
        f"{pushes} per push, the next push at once: {found.machine}."
    )
    return f"""| figure | value |
|---|---:|
| largest error of the float file | {_error(found.float_error)} |
| largest error of the int8 file | {found.int8_error:.1e} |
| microseconds per frame, median | {micro(found.median_us)} |
| microseconds per frame, 99th percentile | {micro(found.p99_us)} |
| share of real time | {_share(found)} |
| bytes of the plan | {found.plan_bytes:,} |
| bytes of a stream's states | {found.state_bytes:,} |

{_prose(text)}"""


def overview(models: Sequence[Model], results: Results) -> str:
    """Return the page docs/models.md: a table of the models that stream, and the others with the reason."""
    streaming = [(model, found) for model in models if isinstance(found := results[model.name], Figures)]
    others = [(model, found) for model in models if isinstance(found := results[model.name], str)]
    machines = dict.fromkeys(found.machine for _, found in streaming)
    title = f"Streaming on the engine, {len(streaming)} models; {'; '.join(machines) or 'nothing measured'}"
    table = Table(title, COLUMNS, [_row(model, found) for model, found in streaming]).to_markdown()
    return f"""{MADE}
# Models that people have, on the engine

Trained models of others, each from a public file that you fetch yourself. Nothing of them is in this repository. A
page has the links with their commit and SHA-256, the owner and the licence, and the three commands that make the file
stream. The code in [examples/models](../examples/models/README.md) only reads their formats.

{table}

- The errors are the largest, relative to the largest value of the original's own answers: of onnxruntime, of the
  original's formula in float64, or recorded by its authors. Each page says which. int8 is W8A16 without calibration.
- The times are of the int8 file: median and 99th percentile of a call from Python. The next push comes at once, so
  the caches are warm. Audio samples are pushed 64 at a time.
- `of real time` is the median as a share of the time between two frames.

`make models` fetches what is missing, runs the three commands of each model, and writes this page and theirs.
{_others(others)}
## Left out

madmom's beat trackers and g2pM keep their weights in pickles, and a pickle is a program. tidegate unpickles nothing.
If you trust such a file, convert it to ONNX yourself; then `tidegate lift model.onnx -o model.stream.onnx` goes on
from there.
"""


def _row(model: Model, found: Figures) -> list[str]:
    return [
        model.task,
        f"[{model.title}](../examples/models/{model.name}.md)",
        model.licence,
        _error(found.float_error),
        f"{found.int8_error:.1e}",
        micro(found.median_us),
        micro(found.p99_us),
        _share(found),
        f"{found.plan_bytes:,}",
        f"{found.state_bytes:,}",
    ]


def _others(others: Sequence[tuple[Model, str]]) -> str:
    if not others:
        return ""
    rows = [
        f"| {model.task} | [{model.title}](../examples/models/{model.name}.md) | {_plain(why)} |"
        for model, why in others
    ]
    return "\n".join(["", "## Not yet", "", "| task | model | what tidegate says |", "|---|---|---|", *rows, ""])


def _error(found: float | None) -> str:
    return "-" if found is None else f"{found:.1e}"


def _share(found: Figures) -> str:
    return "-" if found.share is None else f"{100 * found.share:.2g} %"


def _prose(text: str) -> str:
    """Return text in lines; a link stays whole."""
    return fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _plain(text: str) -> str:
    """Return a message as a cell of a table: on one line, without marks of Markdown."""
    return printable(" ".join(text.split())).replace("|", "/").replace("<", "(").replace(">", ")")
