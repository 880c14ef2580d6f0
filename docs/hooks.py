"""Pages of the site that lie outside docs/, and links to files that are no pages.

The Markdown files link to one another as they lie in the repository, so that they can
be read there. On the site, a page from outside docs/ has another place, and a source
file has none: its link becomes plain text. Names of the package in tables become links to
the API reference, where that has them.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
OUTSIDE = {
    "benchmarks/README.md": "benchmarks.md",
    "third_party_weights/README.md": "weight_files.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""File of the repository -> page of the site."""

_NAME = re.compile(r"`(fcn_jax(?:\.\w+)+)`")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:|#)([^)#]*)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside docs/."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    sources = {target: source for source, target in OUTSIDE.items()}
    uri = page.file.src_uri
    here = ROOT / sources[uri] if uri in sources else DOCS / uri

    def relink(match: re.Match[str]) -> str:
        text, path, anchor = match[1], match[2], match[3] or ""
        target = (here.parent / path).resolve().relative_to(ROOT).as_posix()
        wanted = OUTSIDE.get(target)
        if wanted is None and not target.startswith("docs/"):
            return text
        wanted = wanted or target.removeprefix("docs/")
        return f"[{text}]({os.path.relpath(wanted, Path(uri).parent)}{anchor})"

    lines = _LINK.sub(relink, markdown).splitlines()
    return "\n".join(
        _NAME.sub(_reference, line) if line.startswith("|") else line for line in lines
    )


def _reference(match: re.Match[str]) -> str:
    """A name as a link that may lead nowhere, and may break at its dots."""
    shown = match[1].replace(".", ".<wbr>")
    return f'<autoref identifier="{match[1]}" optional><code>{shown}</code></autoref>'
