"""The page of the Python interface: which name stands where. mkdocstrings puts the docstrings there."""

from collections.abc import Sequence
from types import ModuleType

import tidegate
import tidegate.client
import tidegate.frontend

HEAD = """# The Python interface

All names of `import tidegate as tg`. A name is imported when it is first used: `import tidegate` alone is light."""
SECTIONS = {
    "Files": ["export_model", "lift", "verify", "quantize", "compile_model", "write_device_folder", "sign"],
    "Models and streams": ["load", "Model", "Stream", "Group", "live", "Live", "LiveAnswer"],
    "Looking into a model": ["inspect_file", "Inspection", "Contract", "lookahead_curve", "LookaheadPoint", "tunable"],
    "Reports": ["ExportReport", "LiftReport", "Verification", "QuantizationReport", "DeviceReport"],
}


def python_page() -> str:
    """Return the page, in Markdown, of every public name; errors are what no section has."""
    placed = {name for names in SECTIONS.values() for name in [*names, "__version__"]}
    errors = sorted({*tidegate.__all__} - placed, key=lambda name: (name != "TidegateError", name))
    parts = [HEAD]
    for title, names in {**SECTIONS, "Errors": errors}.items():
        parts += [f"## {title}", *_entries(tidegate, names)]
    for module in (tidegate.client, tidegate.frontend):
        parts += [f"## `{module.__name__}`", str(module.__doc__), *_entries(module, module.__all__)]
    return "\n\n".join(parts) + "\n"


def _entries(module: ModuleType, names: Sequence[str]) -> list[str]:
    """Return the places of docstrings: names are shown as they are imported, and read where they are defined."""
    shown = {f"{module.__name__}.{name}": getattr(module, name) for name in names}
    return [
        f"::: {thing.__module__}.{thing.__qualname__}\n    options:\n      heading: {name}\n      toc_label: {name}"
        for name, thing in shown.items()
    ]
