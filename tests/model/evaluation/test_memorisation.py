"""What a network knows by heart: one that recites its text, and one that cannot."""

from collections.abc import Callable
from dataclasses import asdict

import pytest

from charflow.model.config import Config, TrainingConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.writer import Writer
from charflow.model.evaluation.memorisation import Memorisation, memorised, warnings_of, without_text
from charflow.model.network.network import Network
from charflow.model.training_text import TextInMemory
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.text_settings import TextSettings

RECITES = {"\x03": {"c": 1}, "c": {"a": 1}, "a": {"b": 1}, "b": {"d": 1}, "d": {"c": 0.99, "\x03": 0.01}}
CONFIG = Config(corpus=CorpusSettings(text=TextSettings(ends=True)), training=TrainingConfig(steps=1))


@pytest.fixture(scope="module")
def report(make_chain: Callable, make_corpus: Callable) -> Callable[[str], Memorisation]:
    """Makes the report of a network that writes "cabd" again and again, on some training text."""

    def make(train: str, config: Config = CONFIG) -> Memorisation:
        decoder = make_decoder(make_chain("\x03abcd", RECITES), "stream", 8)
        return memorised(decoder, Writer(decoder), TextInMemory(make_corpus(train)), config, lambda doing, share: None)

    return make


@pytest.mark.slow
def test_memorised_finds_what_is_recited_and_names_the_message(report: Callable) -> None:
    found = report("ab\x03" + "dd\x03" + "cabd" * 40 + "\x03ba")
    assert found.copied["0.5"] > 0.95
    assert found.copied["1"] > 0.5
    assert 100 < found.longest <= 163
    assert found.place in ("message 2 of the training text", "message 3 of the training text")
    assert "cabdcabd" in found.text and "\x03" not in found.text
    assert (found.run_length, found.characters, found.canaries) == (50, 10_000, None)


@pytest.mark.slow
def test_memorised_counts_no_short_runs(report: Callable) -> None:
    found = report("cabdcabdcabdca\x03" * 30 + "b")
    assert found.copied == {"0.5": 0.0, "1": 0.0}
    assert 13 <= found.longest < 50


@pytest.mark.slow
def test_memorised_takes_answers_up_to_their_ends(make_chain: Callable, make_corpus: Callable) -> None:
    babbles = {"\x02": {"c": 1}, "c": {"a": 1}, "a": {"\x03": 1}, "\x03": {"b": 1}, "b": {"b": 1}}
    decoder = make_decoder(make_chain("\x02\x03abc", babbles), "stream", 8)
    config = Config(corpus=CorpusSettings(text=TextSettings(reply=True)), training=TrainingConfig(steps=1))
    text = TextInMemory(make_corpus("b" * 600 + "\x02ca\x03"))
    found = memorised(decoder, Writer(decoder), text, config, lambda doing, share: None)
    assert found.copied == {"0.5": 0.0, "1": 0.0}
    assert (found.characters, found.text) == (100 * len("ca"), "ca")


@pytest.mark.slow
def test_memorised_names_the_character_where_messages_are_not_told_apart(
    make_network: Callable[..., Network], make_corpus: Callable
) -> None:
    corpus = make_corpus("abc " * 5)
    decoder = make_decoder(make_network(vocabulary_size=corpus.vocabulary.size), "stream", 8)
    found = memorised(decoder, Writer(decoder), TextInMemory(corpus), Config(), lambda doing, share: None)
    assert 0 < found.longest <= 20
    assert found.place.startswith("the training text from character ")


@pytest.mark.slow
def test_memorised_is_the_same_again(report: Callable) -> None:
    assert report("cabd" * 40 + "\x03") == report("cabd" * 40 + "\x03")


def facts(**changes: object) -> dict:
    canaries = {"canaries": 8, "repeats": 200, "bits": [16.0, 3.0], "limit": 13.0, "known": 0}
    known = {"copied": {"0.5": 0.0, "1": 0.01}, "run_length": 50, "longest": 63, "text": "oh my", "place": "message 7"}
    return {**known, "canaries": canaries, **changes}


def test_warnings_of_what_is_no_news_are_none() -> None:
    assert warnings_of(None) == warnings_of(facts()) == warnings_of(facts(canaries=None)) == []


def test_warnings_of_copied_text_say_where_it_stands() -> None:
    assert warnings_of(facts(copied={"0.5": 0.0, "1": 0.051})) == [
        "5.1% of what the model writes stands in its training text in runs of 50 characters and more; the longest, "
        "63 characters, is in message 7: 'oh my'."
    ]


def test_warnings_of_canaries_say_how_often_they_were_read() -> None:
    canaries = {**facts()["canaries"], "known": 3}
    assert warnings_of(facts(canaries=canaries)) == [
        "the model knows 3 of 8 planted numbers by heart, each 200 times in its training text: it would know what "
        "people wrote as often."
    ]


@pytest.mark.slow
def test_without_text_is_the_report_but_for_what_people_wrote(report: Callable) -> None:
    found = asdict(report("cabd" * 40 + "\x03"))
    card = without_text(found)
    assert card == {name: value for name, value in found.items() if name != "text"}
    assert without_text(None) is None
