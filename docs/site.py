"""What the site has beside the pages of docs/: README's start, and the files of the repository that pages link to.

A hook of MkDocs (mkdocs.yml). On GitHub a page's links lead to other files of the repository; here each of those is a
page below `repository/`, so that the same links hold in both.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(\[[^\]]*\]\()((?!https?:|#|mailto:)[^)#\s]+)(#[^)\s]*)?\)")
_START = "<!-- the start of README.md -->"
_IN_NAVIGATION = ("CONTRIBUTING.md", "CHANGELOG.md")
_LANGUAGES = {".py": "python", ".c": "c", ".mjs": "js", ".proto": "proto", ".yml": "yaml", ".yaml": "yaml"}


def readme_start() -> str:
    """README.md up to its first section, without its title."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.partition("\n## ")[0].partition("\n")[2].strip()


def in_site(path: str) -> str:
    """Where a file of the repository is in the site's sources: `docs/data.md` is data.md, others below repository/."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/") and path.endswith((".md", ".svg")):
        return path.removeprefix("docs/")
    return f"repository/{path}" if path.endswith(".md") else f"repository/{path}.md"


def linked(text: str, folder: str) -> list[str]:
    """The files of the repository that a page links to, by their paths; the page is in the folder."""
    return [posixpath.normpath(posixpath.join(folder, found[2])) for found in _LINK.finditer(text)]


def relinked(text: str, folder: str, page: str) -> str:
    """The text of a page of the site, whose links were those of a file in the folder of the repository."""

    def link(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[2]))
        if (ROOT / path).is_dir():
            return found[1][1:].removesuffix("](")
        there = posixpath.relpath(in_site(path), posixpath.dirname(page) or ".")
        return f"{found[1]}{there}{found[3] or ''})"

    return _LINK.sub(link, text)


def source(path: str) -> str:
    """What the site shows of a file: a page as it is, a notebook as a page, code as a block."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return relinked(text, posixpath.dirname(path), in_site(path))
    if path.endswith(".ipynb"):
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
        text = "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells)
        return relinked(text, posixpath.dirname(path), in_site(path))
    language = _LANGUAGES.get(posixpath.splitext(path)[1], "text")
    return f"# {posixpath.basename(path)}\n\n`{path}`\n\n````{language}\n{text}````\n"


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Adds the files that the pages link to, and those that these link to."""
    pages = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    pages.append(("README.md", readme_start() + "".join(f"[]({path})" for path in _IN_NAVIGATION)))
    while pages:
        path, text = pages.pop()
        for other in linked(text, posixpath.dirname(path)):
            if not (ROOT / other).is_file() or files.get_file_from_path(in_site(other)):
                continue
            files.append(File.generated(config, in_site(other), content=source(other)))
            if other.endswith(".md"):
                pages.append((other, (ROOT / other).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, /, *, page: Any, **_: Any) -> str:
    """Puts README's start where the page has its mark; links as the site has them."""
    if page.file.generated_by:
        return markdown
    if _START in markdown:
        page.meta["hide"] = ["toc"]  # there is none
    text = relinked(markdown, "docs", page.file.src_uri)
    return text.replace(_START, relinked(readme_start(), "", page.file.src_uri))
