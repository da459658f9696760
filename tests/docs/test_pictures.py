"""The pictures of docs/ are those that docs/pictures.py draws, and pages show them."""

import xml.etree.ElementTree as ElementTree

import pytest

from docs.pictures import FOLDER, PICTURES
from tests.support import ROOT


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_as_it_is_drawn(name: str) -> None:
    drawn = PICTURES[name]()
    assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == drawn, "make docs"
    assert "prefers-color-scheme: dark" in drawn
    svg = ElementTree.fromstring(drawn)
    width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
    for each in svg.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, wide, high = (float(each.attrib[word]) for word in ("x", "y", "width", "height"))
        assert x >= 0 and x + wide <= width and y >= 0 and y + high <= height


def test_every_picture_is_shown_and_described() -> None:
    page = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    for name in PICTURES:
        described, _, rest = page.partition(f"](pictures/{name}.svg)")
        assert rest and len(described.rpartition("![")[2]) > 20, name
