"""What readers with a keyboard or a screen reader miss in the theme's pages, by axe-core."""

import re

MENDED = (
    # The search has no name.
    (re.compile(r'role="dialog"'), 'role="dialog" aria-label="Search"'),
    # The first column of a table is often without a title, and a title cell without text is announced as nothing.
    (re.compile(r"<th[^>]*></th>"), "<td></td>"),
    # Every level of the menu is a landmark, of the same name as its parent's; the menu itself stays one.
    (
        re.compile(r'(<nav class="md-nav" data-md-level="[1-9]") aria-labelledby="[^"]*"( aria-expanded="[^"]*")?'),
        r'\1 role="none"',
    ),
)


def on_post_page(output: str, **_: object) -> str:
    """Return the text of a page, mended; mkdocs calls this."""
    for wrong, right in MENDED:
        output = wrong.sub(right, output)
    return output
