"""What the pages say of signatures and settings is what the tables of the code have."""

import json
from pathlib import Path

import pytest

from charflow.model.decoding.settings import SETTINGS
from docs.tables import HINTS, PAGES, hints, rendered


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_is_as_the_tables_have_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert rendered(text) == text, "make docs"


def test_hints_of_the_playground_are_as_the_tables_have_them() -> None:
    text = HINTS.read_text(encoding="utf-8")
    assert text == hints(), "make docs"
    assert set(json.loads(text)) == {setting.name for setting in SETTINGS}


def test_pages_have_a_row_for_each_setting() -> None:
    text = (PAGES[0].parent / "savedmodel.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        assert f"| `{setting.name}` | {setting.dtype} |" in text
        assert f"| {setting.help} |" in text


def test_rendered_writes_between_the_marks_only() -> None:
    page = "before\n<!-- settings: made by make docs -->\nold\n<!-- end -->\nafter <!-- end -->\n"
    before, _, made = rendered(page).partition("<!-- settings: made by make docs -->\n")
    assert before == "before\n"
    assert made.startswith("| setting | type |")
    assert made.endswith("\n<!-- end -->\nafter <!-- end -->\n")
    assert "old" not in made


def test_rendered_refuses_a_block_that_nothing_makes() -> None:
    with pytest.raises(KeyError, match="colours"):
        rendered("<!-- colours: made by make docs -->\n<!-- end -->\n")
