"""A folder for a device as a library too: of Arduino, PlatformIO, ESP-IDF, Zephyr and CMSIS packs.

Each of them builds all C files in `src/` with that folder in the search path, and with flags of its own. So `src/` has
one small file for each C file of the folder, which sets what else the Makefile's flags set, and includes it. What
describes the library stands side by side, since no tool reads the description of another.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from .parts import KERNELS, definitions
from .targets import Target

TEMPLATES = KERNELS / "device" / "library"
FIT = "src/tidegate/fit.h"
DESCRIPTIONS = ("library.properties", "library.json", "idf_component.yml", "zephyr/module.yml", "zephyr/CMakeLists.txt")
FLAG = re.compile(r"-D(\w+)(?:=(.*))?")
MADE = "2026-01-01"  # a pack needs a date; one that does not change gives the same files each time


def library_files(plans: Mapping[str, bytes], target: Target, engine: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file that makes the folder a library.

    Args:
        plans: Compiled plans by their names in C, which are checked; the library is called as the first.
        target: The device.
        engine: Names of the engine's files in the folder, e.g. `tidegate/src/plan.c`.
    """
    headers = [f"{name}.h" for name in plans]
    sources = {
        **{f"src/tidegate/{name}.c": f"{name}.c" for name in plans},
        **{f"src/{name}": name for name in sorted(engine) if name.endswith(".c")},
    }
    yield FIT, filled(TEMPLATES / "fit.h.in", {"DEFINES": _defines(definitions(plans.values(), target.variants))})
    yield from ((place, _including(place, name)) for place, name in sources.items())
    yield from ((f"src/{name}", f'#include "../{name}"\n') for name in headers)
    yield "src/tidegate.h", '#include "../tidegate/include/tidegate.h"\n'
    first = next(iter(plans))
    yield f"examples/{first}/{first}.ino", named((TEMPLATES / "sketch.ino").read_text(), first)
    fields = {
        "NAME": first,
        "VERSION": _version(),
        "TARGET": target.name,
        "DATE": MADE,
        "INCLUDES": ",".join([*headers, "tidegate.h"]),
        "HEADERS": ", ".join(f'"{name}"' for name in [*headers, "tidegate.h"]),
        "FILES": "\n".join(f'        <file category="source" name="{escape(place)}"/>' for place in sources),
    }
    yield from ((name, filled(TEMPLATES / name, fields)) for name in DESCRIPTIONS)
    yield f"tidegate.{first}.pdsc", filled(TEMPLATES / "pack.pdsc", fields)


def named(text: str, name: str) -> str:
    """Return the text of a program in which the model is called `model`, for a model of another name."""
    text = re.sub(r'(["<])model\.h([">])', rf"\1{name}.h\2", text).replace("model_plan", f"{name}_plan")
    return text.replace("MODEL_", f"{name.upper()}_")


def _including(place: str, name: str) -> str:
    """Return the text of a file of `src/` that stands for a C file of the folder."""
    return f'#include "{FIT.removeprefix("src/")}"\n#include "{"../" * place.count("/")}{name}"\n'


def _defines(flags: Collection[str]) -> str:
    """Return the flags of a compiler that define names, as lines of C."""
    found = (FLAG.fullmatch(flag) for flag in flags)
    return "\n".join(f"#define {match[1]} {match[2] or 1}" for match in found if match)


def filled(template: Path, fields: Mapping[str, str]) -> str:
    """Return the text of a template, with a field in the place of each @NAME@."""
    return re.sub(r"@(\w+)@", lambda found: fields[found[1]], template.read_text("utf-8"))


def _version() -> str:
    """Return the version of the engine, which is that of the library: a model has none."""
    header = (KERNELS / "include" / "tidegate.h").read_text()
    return ".".join(re.findall(r"^#define TIDE_VERSION_\w+ (\d+)$", header, re.MULTILINE))
