"""The page on performance is what its figures say, and a slower machine would be noticed."""

import copy
import json
import re
from typing import Any

import pytest

from docs.performance import FIGURES, PAGE, drawn, page, slower
from docs.pictures import FOLDER


@pytest.fixture
def found() -> dict[str, Any]:
    return json.loads(FIGURES.read_text(encoding="utf-8"))


def test_the_page_and_its_pictures_are_as_the_figures_have_them(found: dict[str, Any]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(found), "python -m docs.performance"
    shown = re.findall(r"!\[[^]]+\]\(pictures/([\w-]+)\.svg\)", page(found))
    for name, svg in drawn(found).items():
        assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == svg, "python -m docs.performance"
        assert name in shown
        assert max(map(float, re.findall(r'width="([\d.]+)"', svg))) <= 480


def test_every_benchmark_is_on_the_page(found: dict[str, Any]) -> None:
    assert list(found["benches"]) == ["machine", "pipeline", "train", "decode", "serve"]


def test_the_same_figures_are_not_slower(found: dict[str, Any]) -> None:
    assert list(slower(found, found)) == []


def test_what_fell_behind_a_peer_is_named(found: dict[str, Any]) -> None:
    now = copy.deepcopy(found)
    ours, *others = now["benches"]["decode"][0]["ways"]
    ours["figures"] = [figure / 2 for figure in ours["figures"]]
    lines = list(slower(found, now))
    assert len(lines) == len([way for way in others if way["kind"] != "charflow"])
    assert lines[0].startswith("decode: writing one text: ")


def test_what_is_not_measured_any_more_is_named(found: dict[str, Any]) -> None:
    now = copy.deepcopy(found)
    gone = now["benches"]["serve"].pop()
    assert list(slower(found, now)) == [f"serve: {gone['what']}: not measured"]
