"""Mutants: a line of a source changed by a rule of universalmutator, in an order that follows from a seed."""

import ast
import contextlib
import hashlib
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from universalmutator import mutator

ROOT = Path(__file__).parents[2]
# Why a mutant is equivalent: compilers make the same of it, or it only changes what a reader and mypy are told.
SAME, ANNOTATION = "the code is the same", "only an annotation changes"
RULES = {"c": ["universal.rules", "c_like.rules", "c.rules"], "python": ["universal.rules", "python.rules"]}
# Rules whose mutants are hardly ever a program: a break behind any line, lists whose entries are cut off.
UNUSED = ("\\1\\2\\n\\1", "[.*, ==>", ",.*] ==>", "{.*, ==>")


@dataclass(frozen=True)
class Mutant:
    """One changed line.

    Attributes:
        file: Path of the source in the repository.
        line: Number of the line, from 1.
        was: The line.
        now: What it becomes.
    """

    file: str
    line: int
    was: str
    now: str

    @property
    def name(self) -> str:
        """What identifies the mutant as long as its line stays as it is, wherever the line moves to."""
        return hashlib.sha256(f"{self.file}\n{self.was}\n{self.now}".encode()).hexdigest()[:12]

    def text(self) -> str:
        """Return the source with the mutant in it."""
        lines = (ROOT / self.file).read_text().splitlines(keepends=True)
        lines[self.line - 1] = self.now + "\n"
        return "".join(lines)


def mutants_of(file: str, language: str) -> list[Mutant]:
    """Return all mutants of a source, but for those of comments and of words for people."""
    text = (ROOT / file).read_text()
    lines = text.splitlines(keepends=True)
    with contextlib.redirect_stdout(io.StringIO()):
        found = mutator.mutants_regexp(lines, RULES[language], ignorePatterns=[], ignoreStringOnly=True)
    left_out = words_of(text) if language == "python" else comments_of(lines)
    made = [
        Mutant(file, line, lines[line - 1].rstrip("\n"), now.rstrip("\n"))
        for line, now, (rule, _), _ in found
        if line not in left_out and not any(part in rule for part in UNUSED)
    ]
    return [mutant for mutant in made if mutant.now.strip() != mutant.was.strip() and not same_truth(mutant)]


def same_truth(mutant: Mutant) -> bool:
    """Return whether a mutant only gives another number that is true: functions of the engine answer 1 or 0."""
    return mutant.was.strip() == "return 1;" and mutant.now.strip() in ("return (1+1);", "return -1;")


def is_program(mutant: Mutant) -> bool:
    """Return whether a Python mutant compiles and names nothing that its source does not: such ones die at once."""
    try:
        before, after = (ast.parse(text) for text in ((ROOT / mutant.file).read_text(), mutant.text()))
    except (SyntaxError, ValueError):
        return False
    names = [{node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} for tree in (before, after)]
    return names[1] <= names[0]


def same_code(mutant: Mutant) -> bool:
    """Return whether Python compiles a mutant to the code that it makes of the source."""
    before, after = (compile(text, "", "exec") for text in ((ROOT / mutant.file).read_text(), mutant.text()))
    return instructions(before) == instructions(after)


def same_but_annotations(mutant: Mutant) -> bool:
    """Return whether only annotations tell a Python mutant from the source."""
    before, after = (Bare().visit(ast.parse(text)) for text in ((ROOT / mutant.file).read_text(), mutant.text()))
    return ast.dump(before) == ast.dump(after)


class Bare(ast.NodeTransformer):
    """Take all annotations away; that a name has one stays, for it makes a field of a dataclass."""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Take that of a parameter away."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Take that of what a function returns away."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Take that of a variable away."""
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def instructions(code: CodeType) -> tuple[object, ...]:
    """Return what code does, without its places in the source."""
    constants = [instructions(x) if isinstance(x, CodeType) else (type(x), repr(x)) for x in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, code.co_exceptiontable, code.co_argcount, constants


def words_of(text: str) -> set[int]:
    """Return the lines of a Python source that hold only text, a comment or an import."""
    found = {number for number, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith("#")}
    for node in ast.walk(ast.parse(text)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and (is_text or isinstance(node, ast.Import | ast.ImportFrom)):
            found |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def comments_of(lines: Sequence[str]) -> set[int]:
    """Return the lines of a C source that are in a comment, for the preprocessor, or a table of numbers.

    tests/kernels/test_fixed.py computes the table again.
    """
    found, inside = set(), False
    for number, line in enumerate(lines, 1):
        inside |= "/*" in line
        if inside or line.startswith("#") or not line.strip(" 0123456789,};\n"):
            found.add(number)
        inside &= "*/" not in line
    return found


def in_order(files: Sequence[str], language: str, seed: int) -> Iterator[Mutant]:
    """Yield the mutants of all files, shuffled by a seed; each line is drawn once before one is drawn again."""
    rng = random.Random(seed)  # noqa: S311  no secret
    every = [mutant for file in sorted(files) for mutant in mutants_of(file, language)]
    rng.shuffle(every)
    seen: dict[tuple[str, int], int] = {}
    turns = []
    for mutant in every:
        place = mutant.file, mutant.line
        turns.append(seen.get(place, 0))
        seen[place] = turns[-1] + 1
    yield from (mutant for _, mutant in sorted(zip(turns, every, strict=True), key=lambda pair: pair[0]))
