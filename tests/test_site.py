"""The documentation site (`make site`): it builds without a warning, links lead somewhere, and nothing is fetched."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import tidegate
from tools.browsers import node_tool

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"
HEADER = ROOT / "runtime/kernels/include/tidegate.h"
MACROS = {"being", "both", "building", "built", "defines", "hold", "they"}  # of the comment on the export macro


class Page(HTMLParser):
    """The ids of a page, its links, what the browser loads with it, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in {"script", "img", "link", "iframe"}:
            self.loaded += [
                given[name] for name in ("src", "href") if name in given and given.get("rel") != "canonical"
            ]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    """Build the site, and read its pages."""
    for package in ("material", "mkdocstrings", "mkdocstrings_handlers", "torch"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            reason = f"{package} is not installed: make setup"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    node_tool("iframe-worker")
    command = [sys.executable, str(ROOT / "docs/site/build.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return {path: Page(path) for path in SITE.rglob("*.html") if path.name != "404.html"}  # opened at any address


def led_to(path: Path, link: str) -> tuple[Path, str]:
    """Return the file and the anchor that a link of a page leads to."""
    parts = urlsplit(link)
    return (path.parent / unquote(parts.path)).resolve() if parts.path else path, unquote(parts.fragment)


def broken(pages: dict[Path, Page]) -> Iterator[str]:
    """Yield the links of pages that lead nowhere."""
    for path, page in pages.items():
        for link in page.links + page.loaded:
            if urlsplit(link).scheme:
                continue
            target, anchor = led_to(path, link)
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].ids):
                yield f"{path.relative_to(SITE)}: {link}"


def test_every_link_and_anchor_leads_somewhere(pages: dict[Path, Page]) -> None:
    assert list(broken(pages)) == []
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_a_link_that_leads_nowhere_is_found(pages: dict[Path, Page], tmp_path: Path) -> None:
    """The check above can fail."""
    (tmp_path / "page.html").write_text(
        '<a href="#nothing">a</a><a href="gone.html">b</a><a href="https://elsewhere">c</a>'
    )
    page = SITE / "page.html"
    found = list(broken({**pages, page: Page(tmp_path / "page.html")}))
    assert found == ["page.html: #nothing", "page.html: gone.html"]


def test_nothing_is_fetched(pages: dict[Path, Page]) -> None:
    """Pages open from a folder: no script, style, font or picture is of another place."""
    assert [name for page in pages.values() for name in page.loaded if urlsplit(name).scheme not in {"", "data"}] == []
    styles = "".join(path.read_text() for path in SITE.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import) ?[\"']?https?:", styles) == []


def test_every_page_of_the_repository_is_there(pages: dict[Path, Page]) -> None:
    command = ["git", "ls-files", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = [re.sub(r"README$", "index", name.removesuffix(".md")) for name in listed.stdout.splitlines()]
    assert {name for name in names if SITE / f"{name}.html" not in pages} == set()


def test_every_public_name_is_in_the_reference(pages: dict[Path, Page]) -> None:
    page = pages[SITE / "docs/reference/python.html"]
    assert [name for name in tidegate.__all__ if name != "__version__" and f"tidegate.{name}" not in page.text] == []
    assert "The path of the file, or its bytes." in page.text  # a docstring: of tidegate.load


def test_every_function_of_the_header_is_in_the_reference(pages: dict[Path, Page]) -> None:
    """With every word of the header's comments."""
    page, header = pages[SITE / "docs/reference/c.html"], HEADER.read_text()
    functions = set(re.findall(r"^extern TIDE_API .*?\b(tide_\w+)\(", header, re.MULTILINE))
    assert len(functions) > 35
    assert functions - page.ids == set()
    words = set(re.findall(r"[a-z]{3,}", " ".join(re.findall(r"/\*.*?\*/", header, re.DOTALL)).lower()))
    assert words - set(re.findall(r"[a-z]{3,}", page.text.lower())) <= MACROS


def test_the_command_line_is_what_help_prints(pages: dict[Path, Page]) -> None:
    page = pages[SITE / "docs/reference/command.html"]
    for arguments in ([], ["quantize"], ["serve"]):
        command = [sys.executable, "-m", "tidegate", *arguments, "--help"]
        printed = subprocess.run(
            command, env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True, check=True
        )
        assert printed.stdout.strip() in page.text


@pytest.mark.usefixtures("pages")
def test_the_search_knows_the_pages() -> None:
    text = (SITE / "search" / "search_index.js").read_text()
    found = json.loads(text[text.index("{") : text.rindex("}") + 1])["docs"]
    assert {"docs/plan.html", "docs/reference/c.html"} <= {entry["location"] for entry in found}
