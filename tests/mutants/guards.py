"""Mutants of the Python that guards the engine, judged by the tests that reach the mutated line."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from mutants.choosing import ANNOTATION, SAME, Mutant, is_program, same_but_annotations, same_code
from mutants.reach import TESTS, tests_of
from mutants.runs import run_tests

QUICK = 4  # seconds of processor time that the quickest tests of a file took in all under coverage, in the first pass
SPARE, LONGER = 10, 4  # a run has hung after these seconds and so many times what its tests took without a mutant


class Guards:
    """Judge mutants of Python."""

    language = "python"
    files = tuple(TESTS)

    def judge(self, mutant: Mutant, *, quickly: bool = False) -> str | None:
        """Return what killed a mutant: the name of a test, or `time`. Nothing: it lives. None: it is no program.

        First the quickest tests that reach its line, then the whole files: a process that a test starts may reach it.

        Args:
            mutant: The changed line.
            quickly: Leave out the whole files.

        Raises:
            SystemExit: A test fails without a mutant.
        """
        if not is_program(mutant):
            return None
        if same_code(mutant):
            return SAME
        with written(mutant) as (module, source):
            for test in TESTS[mutant.file]:
                seconds = tests_of(mutant.file, mutant.line, test)
                so_far = accumulate(seconds.values())
                names = [name for name, taken in zip(seconds, so_far, strict=True) if taken <= QUICK]
                most = round(SPARE + LONGER * sum(seconds[name] for name in names))
                if names and (killer := run_tests(names, module, source, processor=most)):
                    return killer
            for test in () if quickly else TESTS[mutant.file]:
                if killer := run_tests(test, module, source):
                    return killer
        return ANNOTATION if same_but_annotations(mutant) else ""


@contextmanager
def written(mutant: Mutant) -> Iterator[tuple[str, Path]]:
    """Write a mutant to a folder of its own; give the name of its module, and its file."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / Path(mutant.file).name
        source.write_text(mutant.text())
        yield "tidegate." + mutant.file.removesuffix(".py").replace("/", "."), source
