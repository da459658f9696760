"""Names for ids, names that nobody in a chat has, and one text where a list is meant."""

import doctest
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from charflow.model.config import Config
from charflow.model.search.space import Space
from charflow.pipeline.corpus import users
from charflow.pipeline.corpus.cache import CorpusCache
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.explore import summarise_chat
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.corpus.users import nearest, refuse_absent, with_ids
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.csv_format import CsvFormat
from charflow.pipeline.formats.messages import Messages, judge, read_messages
from charflow.pipeline.formats.names import Names
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.tables import override
from charflow.serving.errors import UsageError
from charflow.serving.promotion.promote import ComparisonSettings


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(users).failed == 0


@pytest.mark.parametrize("name", ["MIRA", " mira", "mira\u200b", "mi\xa0ra", "mirra", "ｍｉｒａ", "\ufeffmira"])
def test_nearest_finds_who_is_meant(name: str) -> None:
    assert nearest(name, Counter({"ada": 9, "mira": 2})) == "mira"


def test_nearest_of_those_that_look_the_same_is_the_most_active() -> None:
    assert nearest("mira", Counter({"Mira": 1, "MIRA": 9})) == "MIRA"


def test_nearest_forgives_a_missing_accent() -> None:
    assert nearest("Zoe", Counter({"ada": 9, "Zoë": 2})) == "Zoë"


def test_nearest_finds_nobody_among_strangers() -> None:
    assert nearest("zoe", Counter({"ada": 9, "mira": 2})) is None


def test_nearest_is_quick_among_many_and_long_ids() -> None:
    crowd = Counter({f"{number:024x}": 1 for number in range(30_000)}) + Counter({"x" * 10**6: 1})
    assert nearest(f"{77:024X}", crowd) == f"{77:024x}"


def test_refuse_absent_lets_everybody_through() -> None:
    refuse_absent([], Counter({"ada": 1}))


def test_refuse_absent_is_bounded() -> None:
    crowd = Counter({"x" * 10**6 + str(number): 1 for number in range(50)})
    with pytest.raises(UserError) as error:
        refuse_absent(["y" * 10**6] * 50, crowd)
    assert len(str(error.value)) < 2000


def verdicts(**filters: str) -> list[int]:
    return judge(tf.constant(["mira", "m"]), tf.constant(["a", "b"]), **filters).numpy().tolist()


# Every parameter of charflow that takes several texts, called with a lone one.
LONE: dict[str, Callable[[str], object]] = {
    "from_csv paths": lambda chat: Corpus.from_csv(chat).rows,
    "from_csv user": lambda chat: Corpus.from_csv(chat, user="mira").dropped["other user"] < 600,
    "from_csv drop_users": lambda chat: Corpus.from_csv(chat, drop_users="mira").dropped["dropped user"],
    "CorpusSettings users": lambda chat: CorpusSettings(users="mira").users == ("mira",),
    "CorpusSettings drop_users": lambda chat: CorpusSettings(drop_users="bo").drop_users == ("bo",),
    "read_messages paths": lambda chat: read_messages(chat).rows,
    "summarise_chat drop_users": lambda chat: (
        "mira" not in set(summarise_chat(read_messages(chat), drop_users="mira").users["user"])
    ),
    "judge keep_users": lambda chat: verdicts(keep_users="mira") == [0, 2],
    "judge drop_users": lambda chat: verdicts(drop_users="mira") == [1, 0],
    "Config data": lambda chat: Config(data="a.csv").data == ("a.csv",),
    "Space.parse texts": lambda chat: Space.parse("layers=1,2", Config()).axes[0].choices == (1, 2),
    "ComparisonSettings prompts": lambda chat: (
        ComparisonSettings(texts=["a"] * 99, prompts="how do i ").prompts == ("how do i ",)
    ),
}


@pytest.mark.parametrize("case", LONE)
def test_a_lone_text_is_one_and_not_its_letters(case: str, sample_chat: str) -> None:
    assert LONE[case](sample_chat)


@pytest.mark.parametrize("key", ["users", "drop_users"])
def test_a_lone_text_in_toml_is_one_user(key: str) -> None:
    assert getattr(override(Config(), {"corpus": {key: "mira"}}, source="a.toml").corpus, key) == ("mira",)


def test_a_lone_text_to_compare_by_is_too_few() -> None:
    with pytest.raises(UsageError, match=r"^There are 1 texts to compare by"):
        ComparisonSettings(texts="a text that is longer than the fewest texts")


CHAT = """fromUser.id,fromUser.username,fromUser.displayName,text
id7,mira,Mira,hello
id8,ada,Ada,how are you
id7,miranda,Mira,fine
id9,ada2,Ada,me too
mira2,zoe,id8,good
bot,helper,,built
"""


@pytest.fixture
def chat(tmp_path: Path) -> str:
    (tmp_path / "chat.csv").write_text(CHAT)
    return str(tmp_path / "chat.csv")


def text_of(chat: str, **settings: object) -> str:
    corpus = Corpus.from_csv(chat, held_out=0, **settings)
    return corpus.vocabulary.decode(corpus.ids)


@pytest.mark.parametrize(
    ("given", "ids", "text"),
    [
        ("id7", "id7", "hello fine"),
        ("mira", "id7", "hello fine"),
        ("miranda", "id7", "hello fine"),
        (["mira", "id7", "Mira"], "id7", "hello fine"),
        ("id8", "id8", "how are you"),
        (["id9", "id8"], "id9 id8", "how are you me too"),
        (["ada2", "mira"], "id9 id7", "hello fine me too"),
    ],
    ids=["id", "name", "later name", "all of them", "an id before a name", "joined", "joined by names"],
)
@pytest.mark.slow
def test_a_user_is_an_id_or_a_name(given: str | list[str], ids: str, text: str, chat: str) -> None:
    corpus = Corpus.from_csv(chat, user=given, held_out=0)
    assert corpus.settings and corpus.settings.users == tuple(ids.split())
    assert text_of(chat, user=given) == text
    assert text_of(chat, user=ids.split()) == text


def test_a_user_to_be_left_out_is_an_id_or_a_name(chat: str) -> None:
    assert text_of(chat, drop_users=["helper", "mira"]) == "how are you me too good"


def test_a_name_that_several_have_is_refused_with_their_ids(chat: str) -> None:
    sentence = "'Ada' is the name of 2 users: 'id8' (1), 'id9' (1). Pass {} with one of these ids, or once for each if "
    for given, setting in ({"user": "Ada"}, "users"), ({"drop_users": ["bot", "Ada"]}, "drop_users"):
        with pytest.raises(UserError) as error:
            Corpus.from_csv(chat, **given)
        assert str(error.value) == f"{sentence.format(setting)}they are one person."


def test_a_name_that_many_have_is_refused_with_the_most_active_of_them(tmp_path: Path) -> None:
    rows = "".join(f"id{number},Ada,hi\n" for number in range(12))
    (tmp_path / "chat.csv").write_text(f"user_id,user_name,text\n{rows}id11,Ada,hi\n")
    csv = CsvFormat(user_column="user_id")
    with pytest.raises(UserError, match=r"^'Ada' is the name of 12 users: 'id11' \(2\), 'id0' \(1\).* and 2 more\. "):
        Corpus.from_csv(str(tmp_path / "chat.csv"), user="Ada", csv=csv)


@pytest.mark.parametrize(
    ("given", "meant"), [("MIRA", "Mira"), ("Mirandá", "miranda"), ("helpr", "helper"), ("ID7", "id7")]
)
def test_a_name_that_is_nearly_right_is_named(given: str, meant: str, chat: str) -> None:
    with pytest.raises(UserError) as error:
        Corpus.from_csv(chat, user=given)
    assert str(error.value) == f"No messages from user '{given}'; did you mean '{meant}'?"


def test_a_stranger_is_refused_with_the_most_active_and_their_names(chat: str) -> None:
    with pytest.raises(UserError) as error:
        Corpus.from_csv(chat, user="quentin")
    assert str(error.value) == (
        "No messages from user 'quentin': 0 of 6 rows. Most active: 'id7' ('Mira', 2), 'id8' ('ada', 1), 'id9' "
        "('ada2', 1)."
    )


def test_who_is_kept_by_id_and_dropped_by_name_is_refused(chat: str) -> None:
    with pytest.raises(UserError, match=r"^User 'id7' is both kept and dropped\.$"):
        Corpus.from_csv(chat, user="id7", drop_users="miranda")


def test_names_are_read_only_for_what_is_no_id(chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Messages, "all_names", lambda messages: asked.append("names") or Names())
    Corpus.from_csv(chat, user=["id7", "bot"], drop_users="id9")
    assert not asked
    with pytest.raises(UserError):
        Corpus.from_csv(chat, user="mira")
    assert asked


def test_ids_are_looked_for_no_further_than_needed(chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    messages, read = read_messages(chat), []
    batches = [tf.constant(["id7", "id8"]), tf.constant(["bot"]), tf.constant(["id9"])]
    monkeypatch.setattr(Messages, "users", lambda _: (read.append(batch) or batch for batch in batches))
    assert with_ids(CorpusSettings(users="bot", drop_users="id8"), messages).users == ("bot",)
    assert len(read) == 2


def test_a_cached_corpus_knows_the_ids_too(chat: str, tmp_path: Path) -> None:
    cache = CorpusCache(tmp_path / "cache")
    first, again = (Corpus.from_csv(chat, user="mira", drop_users="helper", cache=cache) for _ in range(2))
    assert first.settings == again.settings
    assert again.settings and (again.settings.users, again.settings.drop_users) == (("id7",), ("bot",))


@pytest.mark.slow
def test_a_prepared_corpus_has_ids_and_is_known_again_by_names(chat: str, tmp_path: Path) -> None:
    settings = CorpusSettings(users="mira", drop_users="helper")
    first, again = (prepare_corpus(chat, settings, tmp_path / "corpus") for _ in range(2))
    assert (first.settings.users, again.settings.drop_users) == (("id7",), ("bot",))
    assert first.load().settings == first.settings
    assert first.fingerprint == again.fingerprint == Corpus.from_csv(chat, user="id7").fingerprint
