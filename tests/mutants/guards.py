"""Mutants of the Python that guards the engine, judged by the tests that reach the mutated line."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutants.choosing import SAME, Mutant, is_program, same_code
from mutants.reach import TESTS, tests_of
from mutants.runs import run_tests


class Guards:
    """Judge mutants of Python."""

    language = "python"
    files = tuple(TESTS)

    def judge(self, mutant: Mutant, *, quickly: bool = False) -> str | None:
        """Return what killed a mutant: the name of a test, or `time`. Nothing: it lives. None: it is no program.

        First the tests run that reach its line, then the whole files of those: a fixture may have reached it.

        Args:
            mutant: The changed line.
            quickly: Leave the whole files out.

        Raises:
            SystemExit: A test fails without a mutant.
        """
        if not is_program(mutant):
            return None
        if same_code(mutant):
            return SAME
        part: list[str] = []  # files of which some tests ran
        with written(mutant) as (module, source):
            for test in TESTS[mutant.file]:
                names = tests_of(mutant.file, mutant.line, test)
                if names and (killer := run_tests(names, module, source)):
                    return killer
                if names != [f"tests/{test}"]:
                    part.append(test)
            for test in () if quickly else part:
                if killer := run_tests(test, module, source):
                    return killer
        return ""


@contextmanager
def written(mutant: Mutant) -> Iterator[tuple[str, Path]]:
    """Write a mutant to a folder of its own; give the name of its module, and its file."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / Path(mutant.file).name
        source.write_text(mutant.text())
        yield "tidegate." + mutant.file.removesuffix(".py").replace("/", "."), source
