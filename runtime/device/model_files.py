"""The files of each model in a device folder: its plan as a `const` array, and a header with the memory it needs.

Their names and all names in them begin with the model's, so that one program can hold several models.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from zlib import crc32

from ..errors import DeviceError
from ..plan.magic import text_of
from ..plan.text import Text, read_text
from ..plan.writer import c_name, c_source
from .parts import PlanSizes, sizes_of
from .targets import Target

STAMPED = """#include "@NAME@.h"
#if @PREFIX@_STAMP != @STAMP@
#error "@NAME@.c and @NAME@.h are of two models: run `tidegate compile` again"
#endif
"""


# Other files of the folder, and a name that is a file's: the name's files would replace them.
TAKEN = {"main", "number", "port", "port_stdio", "port_semihosting", "startup", "tidegate"}
# Headers of C, and those that C libraries and compilers take by their names alone. NAME.h is in the search path: every
# `#include` of such a name would find it first.
HEADERS = {
    *("assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math"),
    *("setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib"),
    *("stdnoreturn", "string", "tgmath", "threads", "time", "uchar", "wchar", "wctype"),
    *("_ansi", "_newlib_version", "alloca", "cpuid", "elf", "endian", "features", "mm_malloc", "newlib", "strings"),
    *("arm_acle", "arm_bf16", "arm_fp16", "arm_mve", "arm_mve_types", "arm_neon", "immintrin"),
}
NAME = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
DEFINED = re.compile(r"^(?:#define |  )(\w+)", re.MULTILINE)  # a macro or an enumerator of a header


def check_names(names: Collection[str]) -> None:
    """Check the names of models in C.

    Raises:
        DeviceError: There is none; one is not a name in C of at most 64 characters, is that of another file of the
            folder or of a header of C, or is equal to another but for upper case.
    """
    if not names:
        raise DeviceError("there are 0 models, wanted at least one")
    seen: set[str] = set()
    for name in names:
        if not NAME.fullmatch(name) or name.lower() in TAKEN:
            raise DeviceError(
                f"the name of a model is {name!r}, wanted a name in C of at most 64 letters, digits and _, "
                f"and none of {', '.join(sorted(TAKEN))}, which the folder has; give one: --name NAME"
            )
        if name.lower() in HEADERS:
            raise DeviceError(
                f"the name of a model is {name!r}, and a compiler would take its {name}.h for C's own header; "
                "give another: --name NAME"
            )
        if name.lower() in seen:
            raise DeviceError(f"two models are called {name!r}, wanted different names; give one for each: --name NAME")
        seen.add(name.lower())


def model_files(plans: Mapping[str, bytes], target: Target) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of `NAME.c` and `NAME.h` for each plan, which is checked.

    Args:
        plans: Compiled plans by their names in C.
        target: The device.

    Raises:
        DeviceError: Two things in the headers would have one name.
    """
    named = zip(plans.items(), sizes_of(plans.values(), target), strict=True)
    headers = {
        name: _header(name, sizes, _named_places(name.upper(), read_text(text_of(plan))))
        for (name, plan), sizes in named
    }
    _refuse_twice(headers)
    for name, plan in plans.items():
        header = headers[name]
        fields = {"NAME": name, "PREFIX": name.upper(), "STAMP": f"{crc32(header.encode(), crc32(plan)):#010x}u"}
        for file, text in ((f"{name}.c", STAMPED + c_source(plan, name)), (f"{name}.h", header)):
            yield file, _filled(text, fields)


def _refuse_twice(headers: Mapping[str, str]) -> None:
    """Refuse a name that two headers define, such as those of `a` and `a_stream`, or one header twice."""
    seen: dict[str, str] = {}
    for name, header in headers.items():
        for defined in DEFINED.findall(header):
            first = seen.get(defined)
            if first == name:
                raise DeviceError(
                    f"two inputs of {name} are both {defined} in C, which has capitals, digits and _ there; rename one "
                    "in the module and export it again"
                )
            if first is not None:
                raise DeviceError(
                    f"{first}.h and {name}.h both define {defined}; give a model another name: --name NAME"
                )
            seen[defined] = name


def _filled(text: str, fields: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda found: fields[found[1]], text)


def _header(name: str, sizes: PlanSizes, places: str) -> str:
    prefix = name.upper()
    return f"""/* The plan in {name}.c, and the memory that it needs on this target. */
#ifndef {prefix}_H
#define {prefix}_H

#include <stddef.h>

#define {prefix}_STAMP @STAMP@ /* {name}.c has the same */

#ifdef __cplusplus
extern "C" {{
#endif

extern const unsigned char {name}_plan[];
extern const size_t {name}_plan_bytes;

#ifdef __cplusplus
}}
#endif

enum {{
  {prefix}_MEMORY = {sizes.model}, /* bytes of the model */
  {prefix}_STREAM_MEMORY = {sizes.stream}, /* bytes of a stream */
  {prefix}_FEATURES = {sizes.features}, /* of a frame */
  {prefix}_OUTPUTS = {len(sizes.outputs)},
  {prefix}_ANSWERS = {sum(sizes.outputs)}, /* floats of all outputs, of one frame */
{places}}};

#endif
"""


def _named_places(prefix: str, text: Text) -> str:
    """Return enumerators: the first feature and the features of each signal, and the state vector of static inputs."""
    lines, first = [], 0
    for piece in text.contract.pieces:
        name = f"{prefix}_SIGNAL_{c_name(piece.name).upper()}"
        lines.append(f"  {name} = {first}, /* its first feature in a frame */")
        lines.append(f"  {name}_FEATURES = {piece.features},")
        first += piece.features
    static = [state.input for state in text.contract.states if state.kind == "static"]
    vectors = {slot.name: number for number, slot in enumerate(text.slots)}
    lines += [
        f"  {prefix}_STATIC_{c_name(name).upper()} = {vectors[name]}, /* for tide_state_write */"
        for name in static
        if name in vectors
    ]
    return "".join(f"{line}\n" for line in lines)
