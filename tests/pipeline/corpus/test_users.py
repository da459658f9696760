"""Names that nobody in a chat has, and one text where a list is meant."""

import doctest
from collections import Counter
from collections.abc import Callable

import pytest
import tensorflow as tf

from charflow.model.config import Config
from charflow.model.search.space import Space
from charflow.pipeline.corpus import users
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.explore import summarise_chat
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.corpus.users import nearest, refuse_absent
from charflow.pipeline.errors import UserError
from charflow.pipeline.formats.messages import judge, read_messages
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
