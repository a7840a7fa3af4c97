"""Every link in a page leads somewhere, every path that a page names exists, and tables are whole."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md", "bindings/*/*.md", "runtime/**/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
QUOTED = re.compile(r"`([^`\n]+)`")
FOLDERS = ("api", "export", "quant", "runtime", "benchmarks", "tests", "examples", "bindings", "docs")
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*\w[/*]?")
KERNELS = re.compile(r"(?:src|operators|variants|include|binding)/[\w./-]*\w")  # of the engine's own page


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page."""
    prose = BLOCK.sub("", page.read_text())
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def test_pages_are_found() -> None:
    assert {"README.md", "ARCHITECTURE.md", "docs/README.md", "docs/glossary.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Relative links name a file of the repository and, after #, one of its headings."""
    for target in LINK.findall(text_of(page)):
        if target.startswith(("https://", "http://")):
            continue
        name, _, heading = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page}: {target}: no such file"
        if heading:
            assert heading in anchors(path), f"{page}: {target}: no such heading"


def quoted_words(page: str) -> list[str]:
    """Return the words in backticks and in blocks of code."""
    quoted = QUOTED.findall(BLOCK.sub("", text_of(page))) + BLOCK.findall(text_of(page))
    return [word for text in quoted for word in text.split() if "NAME" not in word]


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    """Paths of the repository, also after `pytest`; on the engine's page also paths from its folder."""
    folder = (ROOT / page).parent
    for word in quoted_words(page):
        if PATH.fullmatch(word):
            assert list(ROOT.glob(word.rstrip("/"))), f"{page}: no {word}"
        if page.startswith("runtime/") and KERNELS.fullmatch(word):
            assert list(folder.glob(word)), f"{page}: no {word}"


@pytest.mark.parametrize("page", PAGES)
def test_modules_exist(page: str) -> None:
    for name in re.findall(r"python -m tidegate\.([\w.]+)", text_of(page)):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"{page}: no tidegate.{name}"


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    targets = re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE)
    for target in re.findall(r"`make ([a-z]+)`", text_of(page)):
        assert target in targets, f"{page}: make {target}: no such target"


def test_options_in_the_head_of_the_makefile_exist() -> None:
    """Each `NAME="--option ..."` is given to a program, which has the option."""
    makefile = text_of("Makefile")
    found = re.findall(r'([A-Z_]+)="(--[^"]+)"', makefile)
    assert len(found) >= 7
    for name, options in found:
        (program,) = re.findall(rf"python (\S+\.py) \$\({name}\)", makefile)
        for option in re.findall(r"--[\w-]+", options):
            assert f'"{option}"' in text_of(program), f"make: {name}: {program} has no {option}"


def cells_of(line: str) -> int:
    """Return the number of cells of a line of a table; a bar in backticks or after a backslash parts none."""
    return len(re.findall(r"(?<!\\)\|", QUOTED.sub("", line))) - 1


@pytest.mark.parametrize("page", PAGES)
def test_every_line_of_a_table_has_all_cells(page: str) -> None:
    for rows in re.findall(r"(?:^\|.*\n)+", BLOCK.sub("", text_of(page)), re.MULTILINE):
        lines = rows.splitlines()
        assert [line for line in lines if cells_of(line) != cells_of(lines[0])] == [], page


def test_every_page_is_in_the_index() -> None:
    """A page without a question in the index would not be found."""
    index = {(ROOT / "docs" / name).resolve() for name in LINK.findall(text_of("docs/README.md"))}
    missing = [page for page in PAGES if page.startswith("docs/") and (ROOT / page).resolve() not in index]
    assert missing == ["docs/README.md"], "docs/README.md lists every page by its question"
