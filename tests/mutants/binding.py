"""The engine as Python loads it, with one changed line, for tests in Python that a changed line of C must fail."""

import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

from kernels.building import KERNELS, require
from mutants.choosing import ROOT, Mutant

MODULE = "tidegate.runtime._kernels"


def binding_with(mutant: Mutant, name: str, folder: Path) -> Path:
    """Build the extension with a mutant, by the commands of its last build; return its file.

    Args:
        mutant: The changed line, of a source or of a header.
        name: The object to compile again, such as `src/push`.
        folder: An empty folder.
    """
    copy, made = folder / "kernels", folder / f"_kernels{sysconfig.get_config_var('EXT_SUFFIX')}"
    shutil.copytree(KERNELS, copy)
    (copy / Path(mutant.file).relative_to("runtime/kernels")).write_text(mutant.text())
    (room,) = (path.parent for path in ROOT.glob("build/*/build.ninja"))
    said = subprocess.run(
        [require("ninja"), "-C", room, "-t", "commands", made.name], capture_output=True, text=True, check=True
    )
    commands = [shlex.split(line.removeprefix(": && ").removesuffix(" && :")) for line in said.stdout.splitlines()]
    compiled = next(words for words in commands if words[-1].startswith(f"{KERNELS / name}."))
    linked = next(words for words in commands if made.name in words)
    changed = [word.replace(str(KERNELS), str(copy)) for word in compiled]
    target = compiled[compiled.index("-o") + 1]
    changed[compiled.index("-o") + 1] = str(folder / "mutant.o")
    changed[compiled.index("-MF") + 1] = str(folder / "mutant.d")
    subprocess.run(changed, cwd=room, check=True)
    # What the mutant defines comes before the archive, so the archive's own object is not taken.
    words = [str(made) if word == made.name else word for word in linked if word != target]
    at = next(i for i, word in enumerate(words) if word.endswith(".a"))
    subprocess.run([*words[:at], str(folder / "mutant.o"), *words[at:]], cwd=room, check=True)
    return made
