"""Samples during training against the generator's own writing."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.writer import Writer
from charflow.model.training.samples import SAMPLE_CHARS, TEMPERATURES, SampleWriter
from charflow.model.training_text import TextInMemory
from charflow.pipeline.code_points import points_of
from charflow.pipeline.read_only import ReadOnlyMarker

SPELLS_CAB = {" ": {"c": 1}, "c": {"a": 1}, "a": {"b": 1}, "b": {" ": 1}}
TRAIN = "cab " * 30


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable):
    return make_corpus(TRAIN, "bac " * 9)


@pytest.mark.slow
def test_sample_writer_continues_a_piece_of_the_text_at_every_temperature(make_chain: Callable, corpus) -> None:
    decoder = make_decoder(make_chain(" abc", SPELLS_CAB), "stream", 4)
    samples = list(SampleWriter(Writer(decoder), TextInMemory(corpus), seed=3)(17, epoch=1.5))
    assert [sample.temperature for sample in samples] == list(TEMPERATURES) == [0.2, 0.5, 1.0, 1.2]
    for sample in samples:
        assert (sample.step, sample.epoch) == (17, 1.5)
        assert len(sample.seed_text) == 40
        assert len(sample.text) == SAMPLE_CHARS == 400
        assert sample.seed_text + sample.text in "cab " * 200
    assert len({sample.seed_text for sample in samples}) == 1


@pytest.mark.slow
def test_sample_writer_shows_the_end_of_a_message_as_a_line_break(make_chain: Callable, make_corpus: Callable) -> None:
    ends = {"\x03": {"c": 1}, "c": {"a": 1}, "a": {"b": 1}, "b": {"\x03": 1}}
    decoder = make_decoder(make_chain("\x03abc", ends), "stream", 4)
    (sample, *_) = SampleWriter(Writer(decoder), TextInMemory(make_corpus("cab\x03" * 30)), seed=3, chars=7)(
        17, epoch=1.5
    )
    assert sample.seed_text + sample.text in "cab\n" * 30


@pytest.mark.slow
def test_sample_writer_depends_on_seed_and_step_alone(make_network: Callable, corpus) -> None:
    decoder = make_decoder(make_network("lstm", 1), "stream", 4)
    first, twin, other = (SampleWriter(Writer(decoder), TextInMemory(corpus), seed=seed, chars=9) for seed in (3, 3, 4))
    texts = lambda writer, step: [(sample.seed_text, sample.text) for sample in writer(step, epoch=0)]  # noqa: E731
    assert texts(first, 5) == texts(first, 5) == texts(twin, 5) != texts(other, 5)
    assert len({texts(first, step)[0][0] for step in range(20)}) > 1


@pytest.mark.slow
def test_sample_writer_writes_as_the_generator_does(make_network: Callable, make_generator: Callable, corpus) -> None:
    network = make_network("lstm", 1)
    writer = SampleWriter(
        Writer(make_decoder(network, "stream", 4)), TextInMemory(corpus), seed=3, temperatures=(0.0, 0.7), chars=30
    )
    generator = make_generator(network, " abc")
    for sample in writer(5, epoch=0):
        (expected,) = generator.generate(sample.seed_text, seed=3, temperature=sample.temperature, max_chars=30)
        assert sample.text == expected.text


@pytest.mark.parametrize("train", ["cab ", "c"], ids=["4 characters", "1 character"])
@pytest.mark.slow
def test_sample_writer_of_a_short_training_text_begins_with_all_of_it(
    make_chain: Callable, make_corpus: Callable, train: str
) -> None:
    corpus = make_corpus(train, "cab ")
    decoder = make_decoder(make_chain(" abc", SPELLS_CAB), "stream", 4)
    samples = list(SampleWriter(Writer(decoder), TextInMemory(corpus), seed=0, chars=5)(1, epoch=0))
    assert {sample.seed_text for sample in samples} == {train}
    assert all(train + sample.text in "cab " * 5 for sample in samples)


@pytest.mark.slow
def test_sample_writer_begins_an_answer_where_answers_are_learned(
    make_network: Callable, make_corpus: Callable
) -> None:
    corpus = make_corpus("how?\x02so.\x03why?\x02as i say.\x03" * 20)
    size = corpus.vocabulary.size
    marked = corpus.vocabulary.ids_of(ReadOnlyMarker()(points_of(corpus.vocabulary.decode(corpus.ids))))
    decoder = make_decoder(make_network("lstm", 1, vocabulary_size=size), "stream", 4, corpus.vocabulary.never_written)
    writer = SampleWriter(Writer(decoder), TextInMemory(replace(corpus, ids=marked)), seed=3, chars=50)
    samples = [next(writer(step, epoch=0)) for step in range(9)]
    assert {sample.seed_text[-5:] for sample in samples} == {"how?\n", "why?\n"}
    texts = [sample.text for step in range(3) for sample in writer(step, epoch=0)]
    assert any(len(text) < 50 for text in texts)  # those that the weights ended
    assert not any("\n" in text for text in texts)
