"""Who would have written a text: by whole messages, under every model, whatever their vocabularies."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding.generator import Generator
from charflow.model.evaluation import authorship as module
from charflow.model.evaluation.authorship import Authors, messages_of
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.errors import UserError

MIRA = "mira-k-36a7cf"


@pytest.fixture
def authors(people_runs: Path) -> Authors:
    return Authors(people_runs)


@pytest.fixture
def copy(people_runs: Path, tmp_path: Path) -> Callable[..., Path]:
    def copy(*names: str) -> Path:
        for name in names:
            shutil.copytree(people_runs / name, tmp_path / "some" / name)
        return tmp_path / "some"

    return copy


@pytest.mark.parametrize(
    ("text", "author"), [("oh my dears", MIRA), ("a plan has a map", "ada"), ("no, bo said so", "bo")]
)
def test_rank_puts_the_author_first(authors: Authors, text: str, author: str) -> None:
    ranked = authors.rank([text])
    assert ranked[0].person == author
    assert sorted(each.person for each in ranked) == authors.names
    assert [each.bits_per_char for each in ranked] == sorted(each.bits_per_char for each in ranked)


def test_rank_gives_each_the_share_of_their_likelihood(authors: Authors) -> None:
    ranked = authors.rank(["oh no"])
    nats = {each.person: each.bits_per_char * math.log(2) * 6 for each in ranked}  # five characters and the end
    total = sum(math.exp(-value) for value in nats.values())
    for each in ranked:
        assert each.posterior == pytest.approx(math.exp(-nats[each.person]) / total, rel=1e-5)


def test_likelihoods_are_those_of_score(authors: Authors, people_runs: Path) -> None:
    """Of characters that all know: whatever is scored beside a message, and however long."""
    texts = ["a", "no map", "oh my " * 9]
    found = authors.likelihoods(texts)
    for person, name in enumerate(authors.names):
        model = Generator.load(people_runs / name).text_model
        scores = [model.score(tf.constant([text])) for text in texts]
        known = [int(score.unknown_chars[0]) == 0 for score in scores]
        alone = np.array([-float(tf.reduce_sum(score.char_log_probs)) for score in scores])
        np.testing.assert_allclose(found.nats[person][known], alone[known], rtol=1e-4)
    assert found.characters.tolist() == [2, 7, 55]


def test_likelihoods_charge_who_does_not_know_a_character(authors: Authors) -> None:
    """Of x nobody knows anything; a p is ada's alone, and costs the others as much as one of all code points."""
    nothing, plain, strange = (authors.likelihoods([text]) for text in ("ax", "a", "ap"))
    assert nothing.characters.tolist() == plain.characters.tolist()
    assert strange.characters[0] == plain.characters[0] + 1
    vocabularies = [set(run.load()[1].chars) for run in authors.runs]
    assert ["p" in known for known in vocabularies] == [True, False, False]
    without, with_p = (authors.rank([text]) for text in ("a", "ap"))
    assert with_p[0].person == "ada"
    assert with_p[-1].bits_per_char * 3 > math.log2(0x110000) > without[-1].bits_per_char * 2


def test_likelihoods_share_a_graph_where_models_are_alike(
    copy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = copy("ada")
    shutil.copytree(some / "ada", some / "twin")
    apart = Authors(some).likelihoods(["a plan"]).nats
    traced, score = [], module.TextModel.score

    def noted(model, texts):
        traced.append(model)
        return score(model, texts)

    monkeypatch.setattr(module.TextModel, "score", noted)
    assert np.array_equal(apart[0], apart[1])
    Authors(some).likelihoods(["a plan"])
    assert len(traced) == 1


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_rank_refuses_no_text(authors: Authors, texts: list[str]) -> None:
    with pytest.raises(UserError, match="There is no text to tell an author by"):
        authors.rank(texts)


def test_rank_refuses_text_of_which_nobody_knows_a_character(authors: Authors) -> None:
    with pytest.raises(UserError, match="No character of the text is in the vocabulary of any"):
        authors.rank(["美羅"])


def test_authors_need_two_runs(copy: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="some has the run of ada only: there is nobody to tell them from"):
        Authors(copy("ada"))


def test_authors_refuse_a_run_as_their_folder(people_runs: Path) -> None:
    with pytest.raises(UserError, match="ada is one run: name a folder of several"):
        Authors(people_runs / "ada")


def test_authors_refuse_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no runs in it: make them with charflow train --each-user"):
        Authors(tmp_path)


def test_authors_refuse_runs_on_texts_that_were_treated_otherwise(copy: Callable[..., Path]) -> None:
    config = RunDir(copy("ada", "bo") / "bo").config_file
    config.write_text(config.read_text().replace("lowercase = true", "lowercase = false"))
    with pytest.raises(UserError, match="bo was trained on text that was treated otherwise than that of ada"):
        Authors(config.parent.parent)


def test_rank_refuses_a_run_without_weights(copy: Callable[..., Path]) -> None:
    some = copy("ada", "bo")
    shutil.rmtree(some / "bo" / "checkpoints")
    with pytest.raises(UserError, match="bo/checkpoints/latest holds no checkpoint"):
        Authors(some).rank(["a plan"])


def test_messages_of_reads_those_of_a_user(authors: Authors, people_chat: Path) -> None:
    assert messages_of([str(people_chat)], authors.text, users=["cy"]) == ["who?"] * 3
    assert len(messages_of([str(people_chat)], authors.text)) == 123
    assert messages_of([], authors.text) == []
