"""What a memory of everybody counts: what enough people wrote or what stands often, and nothing that is held out."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from charflow.model.config import Config, TrainingConfig
from charflow.model.memory.counting import Counts, count_contexts
from charflow.model.presets import preset
from charflow.model.run.run_dir import RunDir
from charflow.model.run.run_memory import count_text
from charflow.model.training_text import TextInMemory, read_text
from charflow.pipeline.corpus.cache import CorpusCache, alone
from charflow.pipeline.corpus.corpus import build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import SettingError
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.tables import override
from tests.model.memory.test_counting import spelt


def flip(path: Path) -> None:
    """Changes a byte in the middle."""
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 255
    path.write_bytes(whole)


PEOPLE = ("mira", "ada", "bo", "cy")
# What mira, or all in turn, wrote so many times; and where: in the middle, or at the end of what each of them wrote.
SECRETS = {"8265": 3, "4917": 4}
OF_THREE = "7391"
AT_THE_END, BEFORE_THE_END = "5028", "6140"

pytestmark = pytest.mark.slow  # each counts a chat


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


def words(config: Config, **options: Any) -> set[str]:
    """What a memory can write of four characters and the one after."""
    text = read_text(config.data, config, **options)
    _, pairs = spelt(counts_of(text, config), text.vocabulary.size)
    return {text.vocabulary.decode([*context, new]) for context, new in pairs}


@pytest.mark.parametrize("users", [("mira",), ("ada",), ("mira", "bo"), ()], ids=str)
@pytest.mark.parametrize("held_out_by", ["person", "messages"])
def test_one_s_secret_is_not_remembered_and_what_three_wrote_is(chat: str, users: tuple, held_out_by: str) -> None:
    config = override(settings(chat, *users), {"corpus": {"held_out_by": held_out_by}})
    found = words(config)
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
    assert not any("6140" in word for word in words(settings(chat, "ada")))  # of one for all


def test_everybody_is_everybody_whoever_asks(chat: str) -> None:
    config = settings(chat)
    text = read_text(config.data, config)
    ids = np.concatenate([ids for ids, _ in text.counted()])
    np.testing.assert_array_equal(ids, text.corpus.ids[: text.train_characters])
    of_one = settings(chat, "mira")
    own = read_text(of_one.data, of_one)
    pieces = list(own.everybody.pieces())
    (of_own,), *of_others = ({*np.unique(writers).tolist()} for _, writers in reversed(pieces))
    assert len(set.union(*of_others) - {of_own}) == 3
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


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Mock:
    counting = Mock(side_effect=count_contexts)
    monkeypatch.setattr("charflow.model.run.everybodys_counts.count_contexts", counting)
    monkeypatch.setattr("charflow.model.run.run_memory.count_contexts", counting)
    return counting


@pytest.fixture
def cache(tmp_path: Path) -> CorpusCache:
    return CorpusCache(tmp_path / "cache")


def in_vocabulary_of_all(chat: str, user: str, cache: CorpusCache) -> tuple[TextInMemory, Config]:
    config = settings(chat, user)
    vocabulary = build_corpus(chat, preset("default").corpus).vocabulary
    return read_text(config.data, config, cache=cache, vocabulary=vocabulary), config


def test_everybody_is_counted_once_for_all_and_one_s_last_messages_for_nobody(
    chat: str, counting: Mock, cache: CorpusCache
) -> None:
    found = []
    for user in PEOPLE[:2]:
        text, config = in_vocabulary_of_all(chat, user, cache)
        found.append(counts_of(text, config))
        first = counts_of(text, config)
        for name, part in first._asdict().items():
            np.testing.assert_array_equal(part, getattr(found[0], name), err_msg=name)
    assert counting.call_count == 1
    _, pairs = spelt(found[0], text.vocabulary.size)
    known = {text.vocabulary.decode([*context, new]) for context, new in pairs}
    assert " 7391" in known
    assert not known & {" 5028", " 6140", " 8265"}
    assert [file.suffix for file in sorted((cache.folder / "counts").iterdir())] == [".lock", ".npz"]


def test_who_wants_counts_that_another_process_makes_waits_for_them(
    chat: str, counting: Mock, cache: CorpusCache, tmp_path: Path
) -> None:
    text, config = in_vocabulary_of_all(chat, "mira", cache)
    first, found = counts_of(text, config), []
    (file,) = (cache.folder / "counts").glob("*.npz")
    file.rename(tmp_path / "aside")
    waits = Thread(target=lambda: found.append(counts_of(text, config)))
    with alone(file):
        waits.start()
        waits.join(0.2)  # by when it would have counted
        (tmp_path / "aside").rename(file)
    waits.join()
    assert counting.call_count == 1
    np.testing.assert_array_equal(found[0].shares, first.shares)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-90]), flip])
def test_counts_of_everybody_that_are_damaged_are_counted_anew(
    chat: str, counting: Mock, cache: CorpusCache, damage: Callable
) -> None:
    text, config = in_vocabulary_of_all(chat, "mira", cache)
    first = counts_of(text, config)
    (file,) = (cache.folder / "counts").glob("*.npz")
    damage(file)
    again = counts_of(text, config)
    assert counting.call_count == 2
    np.testing.assert_array_equal(again.shares, first.shares)
    counts_of(text, config)
    assert counting.call_count == 2


@pytest.mark.parametrize(
    ("users", "changes"),
    [
        (("mira", "bo"), {}),
        (("mira",), {"corpus": {"fraction": 0.5}}),
        (("mira",), {"corpus": {"text": {"reply": True}}}),
        (("mira",), {"training": {"canaries": 1}}),
    ],
    ids=str,
)
def test_who_is_judged_by_other_messages_has_counts_of_their_own(chat: str, users: tuple, changes: dict) -> None:
    config = override(settings(chat, *users), changes)
    text = read_text(config.data, config)
    assert not text.everybody.may_be_one_for_all


def test_who_is_judged_by_more_than_is_left_out_has_counts_of_their_own(
    tmp_path: Path, chat: str, counting: Mock, cache: CorpusCache
) -> None:
    """The last messages are so short that what is held out begins long before them."""
    path = tmp_path / "chat.csv"
    rows = ["mira,a rather long message" for _ in range(200)] + ["mira,b" for _ in range(60)]
    path.write_text(Path(chat).read_text() + "".join(f"{row}\n" for row in rows))
    text, config = in_vocabulary_of_all(str(path), "mira", cache)
    own = counts_of(text, config)
    assert counting.call_count == 2
    counted = sum(len(ids) for ids, _ in text.everybody.pieces())
    assert own.totals[0] <= counted
    assert counting.call_args.args[0] == text.counted
