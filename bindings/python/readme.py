"""README.md as PyPI shows it, which has only the text: links and pictures get their address in the repository."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://)([^)\s]+)\)")


def dynamic_metadata(settings: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Return the readme; scikit-build-core calls this, for `[[tool.dynamic-metadata]]` of pyproject.toml."""
    source, tag = project["urls"]["Source"], f"v{project['version']}"

    def absolute(found: re.Match[str]) -> str:
        kind = "raw" if found[1] else "blob"  # a picture, or a page
        return f"{found[1]}[{found[2]}]({source}/{kind}/{tag}/{found[3]})"

    text = LINK.sub(absolute, Path("README.md").read_text(encoding="utf-8"))
    return {"readme": {"text": text, "content-type": "text/markdown"}}
