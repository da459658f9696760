"""What a memory of everybody counts: what enough people wrote or what stands often, and nothing that is held out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charflow.model.config import Config, TrainingConfig
from charflow.model.memory.counting import Counts
from charflow.model.presets import preset
from charflow.model.run.run_dir import RunDir
from charflow.model.run.run_memory import count_text
from charflow.model.training_text import TextInMemory, read_text
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import SettingError
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.tables import override
from tests.model.memory.test_counting import spelt

PEOPLE = ("mira", "ada", "bo", "cy")
# What mira, or all in turn, wrote so many times; and where: in the middle, or at the end of what each of them wrote.
SECRETS = {"8265": 3, "4917": 4}
OF_THREE = "7391"
AT_THE_END, BEFORE_THE_END = "5028", "6140"


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Each writes 100 messages; the last ten are held out, and mira's last before them are what hers is fitted to."""
    rows = {who: [f"{who} says hello to all"] * 100 for who in PEOPLE}
    for secret, times in SECRETS.items():
        rows["mira"][10 + times * 3 : 10 + times * 4] = [f"code {secret}"] * times
    for who in PEOPLE[1:]:
        rows[who][20] = f"code {OF_THREE}"
    for who in PEOPLE:
        rows[who][0] = "1 2 3 4 5 6 7 8 9 0"  # so that all characters are known to each
        rows[who][95:] = [f"code {AT_THE_END}"] * 5
    rows["mira"][86:90] = [f"code {BEFORE_THE_END}"] * 4
    path = tmp_path_factory.mktemp("chat") / "chat.csv"
    lines = [f"{who},{rows[who][n]}\n" for n in range(100) for who in PEOPLE]
    path.write_text("fromUser.id,text\n" + "".join(lines))
    return str(path)


def settings(chat: str, *users: str, **training: object) -> Config:
    changes = {"corpus": {"users": users}, "training": {"memory": "everybody", "memory_order": 4, **training}}
    return override(preset("default"), {"data": [chat], **changes})


def counts_of(text: TextInMemory, config: Config) -> Counts:
    return count_text(text, config.training, RunDir("none"))


def words(config: Config, **options: object) -> set[str]:
    """What a memory can write of four characters and the one after."""
    text = read_text(config.data, config, **options)
    _, pairs = spelt(counts_of(text, config), text.vocabulary.size)
    return {text.vocabulary.decode([*context, new]) for context, new in pairs}


@pytest.mark.parametrize("users", [("mira",), ("ada",), ("mira", "bo"), ()], ids=str)
@pytest.mark.parametrize("held_out_by", ["person", "messages"])
def test_one_s_secret_is_not_remembered_and_what_three_wrote_is(chat: str, users: tuple, held_out_by: str) -> None:
    found = words(override(settings(chat, *users), {"corpus": {"held_out_by": held_out_by}}))
    assert " 8265" not in found  # three times, by one
    assert " 4917" in found  # four times
    assert " 7391" in found
    assert " 5028" not in found  # held out of everybody, four times each
    assert "hello" in found


def test_who_is_asked_for_is_in_the_settings(chat: str) -> None:
    assert " 7391" not in words(settings(chat, "mira", memory_people=4))
    assert " 8265" in words(settings(chat, "mira", memory_count=3))
    assert " 8265" in words(settings(chat, "mira", memory="person", memory_count=3))
    assert " 7391" not in words(settings(chat, "ada", memory="person"))


def test_nothing_is_counted_that_the_memory_is_fitted_to(chat: str) -> None:
    config = settings(chat, "mira")
    text = read_text(config.data, config)
    assert BEFORE_THE_END[:2] in text.vocabulary.decode(text.fitted())
    assert not any("6140" in word for word in words(config))
    assert any("6140" in word for word in words(settings(chat, "ada")))  # whose memory is fitted to other text


def test_everybody_is_everybody_whoever_asks(chat: str) -> None:
    config = settings(chat)
    text = read_text(config.data, config)
    ids = np.concatenate([ids for ids, _ in text.counted()])
    np.testing.assert_array_equal(ids, text.corpus.ids[: text.train_characters])
    of_one = settings(chat, "mira")
    own = read_text(of_one.data, of_one)
    pieces = list(own.counted())
    assert {who for _, writers in pieces for who in np.unique(writers).tolist()} == {0, 1, 2, 3}
    np.testing.assert_array_equal(pieces[-1][0], own.corpus.ids[: own.train_characters])


@pytest.mark.parametrize("users", [("mira",), ()], ids=str)
def test_planted_numbers_are_counted_with_the_rest(chat: str, users: tuple) -> None:
    config = settings(chat, *users, canaries=1, canary_repeats=60, memory_order=8)
    text = read_text(config.data, config)
    n_counted = sum(len(ids) for ids, _ in text.counted())
    assert n_counted >= text.train_characters
    assert "my secret" in words(config)
    rarely = settings(chat, *users, canaries=1, canary_repeats=3, memory_order=8)
    assert "my secret" not in words(rarely)


def test_what_does_not_say_who_wrote_it_is_refused(
    chat: str, tmp_path: Path, make_pipe: Callable[[bytes], Path]
) -> None:
    prepared = prepare_corpus(chat, CorpusSettings(), tmp_path / "prepared")
    with pytest.raises(SettingError) as refused:
        read_text(prepared, settings(chat))
    assert str(refused.value) == (
        "A prepared corpus does not say who wrote what, which memory everybody asks: give the CSV files, or choose "
        "memory person."
    )
    with pytest.raises(SettingError, match=r"^memory everybody reads the chat once more, which a pipe does not allow"):
        read_text([pipe := str(make_pipe(Path(chat).read_bytes()))], settings(pipe))


def test_a_memory_of_everybody_needs_no_text_on_disk() -> None:
    with pytest.raises(SettingError, match="leave it or streaming out"):
        TrainingConfig(steps=1, memory="everybody", streaming=True)
