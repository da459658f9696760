"""The site of docs/ builds without a warning, has each page in its navigation, and asks no other host for anything."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from docs.site import ROOT, in_site, linked, readme_start, relinked
from tests.support import made_once

_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*\b(?:src|data)=\"?([^\" >]+)"
    r"|<link\b(?![^>]*rel=\"?canonical)[^>]*\bhref=\"?([^\" >]+)|url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)"
)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does; what MkDocs said of it is in `said`."""

    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder / "site")]
        environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        (folder / "said").write_text(done.stderr, encoding="utf-8")
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "site", build) / "site"


def navigation(entries: list) -> list[str]:
    """The pages of `nav` in mkdocs.yml, in order."""
    pages = []
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        pages += navigation(value) if isinstance(value, list) else [value]
    return pages


def nav() -> list[str]:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return navigation(yaml.safe_load(text.split("\ntheme:")[0])["nav"])  # what follows has tags of MkDocs' own


def test_site_has_no_remark_of_mkdocs(site: Path) -> None:
    """Strict builds fail on warnings; links to what is left out are mere information."""
    said = (site.parent / "said").read_text(encoding="utf-8").splitlines()
    assert [line for line in said if not re.match(r"INFO +- +(Cleaning|Building|Documentation built)", line)] == []


def test_every_page_of_docs_is_in_the_navigation() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(page for page in nav() if not page.startswith("repository/")) == sorted(pages)


def test_every_page_of_the_navigation_is_built(site: Path) -> None:
    for page in nav():
        place = re.sub(r"(^|/)(index|README)$", "", page.removesuffix(".md"))
        assert (site / place / "index.html").is_file(), page


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 10
    for path in files:
        for found in _LOADED.finditer(path.read_text(encoding="utf-8")):
            address = urlsplit(next(filter(None, found.groups())))
            assert address.scheme in ("", "data") and not address.netloc, (path, found[0])


def test_site_has_no_file_that_was_meant_for_the_repository(site: Path) -> None:
    assert [path for path in site.rglob("*.py") if path.is_file()] == []


def test_home_begins_as_readme_does(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    assert readme_start().splitlines()[0] in home
    assert "<!-- the start" not in home


def test_links_lead_where_the_file_is_in_the_site() -> None:
    page = "[a](data.md#b) [c](../examples/d.py) [e](https://e.example/) [f](#g)"
    assert linked(page, "docs") == ["docs/data.md", "examples/d.py"]
    there = "[a](data.md#b) [c](repository/examples/d.py.md) [e](https://e.example/) [f](#g)"
    assert relinked(page, "docs", "index.md") == there
    assert relinked("[a](docs/data.md)", "", "repository/CONTRIBUTING.md") == "[a](../data.md)"
    assert relinked("see [deploy/](deploy)", "", "index.md") == "see deploy/"
    assert in_site("README.md") == "index.md"


def test_a_browser_asks_no_other_host(site: Path) -> None:
    """What scripts load is not seen in the files; the search's worker is a script, too."""
    playwright = pytest.importorskip("playwright.sync_api", reason="install playwright")
    chromium = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if not chromium:
        pytest.skip("no chromium: apt-get install chromium, or name the program in the environment variable CHROMIUM")
    asked: list[str] = []
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index.html", "how-it-works/index.html", "api/serving/index.html"):
            page.goto((site / name).as_uri(), wait_until="load")
        browser.close()
    assert len(asked) > 6
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
