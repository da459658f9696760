"""What `charflow bench pipeline` measures: the recipe's text and windows are those that charflow has."""

from pathlib import Path

import pytest

from charflow.benchmarks import pipeline, recipe
from charflow.benchmarks.comparison import OURS
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.marks import END
from charflow.pipeline.windows import count_windows


def test_the_recipe_reads_the_same_characters(sample_chat: str) -> None:
    corpus = build_corpus([sample_chat], CorpusSettings(users=("mira",)))
    text = recipe.read_text([sample_chat], ["mira"], "fromUser.id", "text")
    ours = corpus.vocabulary.decode(corpus.ids).replace(END, " ")
    assert abs(len(text) - len(ours)) < 0.01 * len(text)
    chars, x, y = recipe.make_arrays(text[:100])
    assert x.shape == (count_windows(100), recipe.LENGTH, len(chars))
    assert y.sum() == len(x) == len(y)


@pytest.mark.slow
def test_every_comparison_is_there(sample_chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_COPIES", 2)
    settings = CorpusSettings(users=("mira",))
    found = list(pipeline.measure_pipeline(find_inputs([sample_chat]), settings, turns=1))
    assert [each.what for each in found] == [
        *("chat to windows", "memory of the windows", "chat to ids"),
        *("prepare, a chat of any size", "prepare, memory"),
    ]
    for each in found:
        assert each.ways[0].kind == OURS
        assert all(min(way.figures) > 0 for way in each.ways)


def test_copies_stand_below_one_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_COPIES", 2)
    chat, many = tmp_path / "a.csv", tmp_path / "many.csv"
    chat.write_text("who,what\na,b", encoding="utf-8")
    pipeline._repeat([str(chat)], many)
    assert many.read_text(encoding="utf-8") == "who,what\na,b\na,b\n"


def test_what_pandas_cannot_read_is_refused(tmp_path: Path) -> None:
    chat = tmp_path / "chat.txt"
    chat.write_text("[01.02.24, 10:00:00] Mira: oh my dears, how are you?\n" * 30, encoding="utf-8")
    with pytest.raises(UserError, match="reads CSV files with pandas, which cannot read"):
        list(pipeline.measure_pipeline(find_inputs([str(chat)]), CorpusSettings(), turns=1))
