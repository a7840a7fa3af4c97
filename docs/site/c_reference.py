"""The page of the C interface, from the comments of its header."""

import re
from collections.abc import Iterator
from typing import NamedTuple

HEAD = """# The C interface

From the comments of [tidegate.h]({header}), in its order. `extern` and the export macro are left out.
"""
SECTION = re.compile(r"/\* ---- (.+?) ---- \*/")
COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
FUNCTION = re.compile(r"\b(tide_\w+)\(")
TYPE = re.compile(r"(tide_\w+);\s*$")


class Entry(NamedTuple):
    """A comment of the header, and the declarations below it; either may be empty."""

    comment: str
    code: str


def c_page(header: str, link: str) -> str:
    """Return the page, in Markdown, of the text of the header."""
    opening, _, rest = header.partition("#ifndef TIDEGATE_H")
    body = rest.partition('extern "C" {\n#endif\n')[2].rpartition("\n#ifdef __cplusplus")[0]
    parts = [HEAD.format(header=link), *_opening(opening), "## Versions"]
    for chunk in re.split(r"\n\s*\n", body):
        section = SECTION.fullmatch(chunk.strip())
        parts += [_heading(section[1])] if section else [_entry(entry) for entry in _entries(chunk.strip())]
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def _opening(text: str) -> Iterator[str]:
    """Yield the comment at the top: paragraphs, and an example, which is indented."""
    yield from _unstarred(text.strip().removeprefix("/*").removesuffix("*/")).split("\n\n")


def _unstarred(comment: str) -> str:
    """Return the text of a comment without the stars at the start of its lines."""
    return "\n".join(re.sub(r"^ \*(?: |$)", "", line).rstrip() for line in comment.splitlines()).strip()


def _heading(section: str) -> str:
    title, _, about = section.partition(": ")
    return f"## {title.capitalize()}\n\n{about[:1].upper() + about[1:]}{'.' if about else ''}"


def _entries(chunk: str) -> Iterator[Entry]:
    """Cut declarations without an empty line between them where a comment starts a line."""
    for part in re.split(r"\n(?=/\*)", chunk):
        comment = COMMENT.match(part)
        code = part[comment.end() :] if comment else part
        yield Entry(_unstarred(comment[1]) if comment else "", code.strip())


def _entry(entry: Entry) -> str:
    code = entry.code.replace("extern TIDE_API ", "")
    names = list(dict.fromkeys(FUNCTION.findall(code))) or TYPE.findall(code)
    title = "### " + ", ".join(f"`{name}`" for name in names) if names else ""
    anchors = "".join(f'<a id="{name}"></a>' for name in names)
    return "\n\n".join(part for part in (title, anchors, f"```c\n{code}\n```" if code else "", entry.comment) if part)
