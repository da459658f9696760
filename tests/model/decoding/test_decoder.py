"""Fast writing against a naive loop over the Keras model, character by character."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from charflow.model.decoding.decoder import Decoder, SamplingOptions, Written, make_decoder
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.sampling import uniforms
from charflow.model.decoding.settings import LONGEST_STOP
from charflow.model.network.network import Network

LENGTH = 4  # of the window
PROMPT = np.array([1, 3, 2, 4, 4, 1], np.int32)
NO_TAIL = tf.zeros([1, LONGEST_STOP], tf.int32)
each_context = pytest.mark.parametrize(
    ("cell", "layers", "kind"),
    [("lstm", 2, "stream"), ("gru", 1, "stream"), ("lstm", 1, "window"), ("gru", 2, "window")],
    ids=["lstm stream", "gru stream", "lstm window", "gru window"],
)


def options_of(*rows: dict) -> SamplingOptions:
    """Options with one row for each dictionary; what it leaves out is off."""
    column = lambda name, off, dtype: tf.constant([row.get(name, off) for row in rows], dtype)  # noqa: E731
    return SamplingOptions(
        max_chars=column("max_chars", 20, tf.int32),
        temperature=column("temperature", 1.0, tf.float32),
        samplers=tuple(column(each.name, each.off, each.dtype) for each in SAMPLERS),
        seed=column("seed", 0, tf.int64),
        stop_ids=tf.constant(
            [[-1] * (LONGEST_STOP - len(row.get("stop", []))) + list(row.get("stop", [])) for row in rows], tf.int32
        ),
        end_id=column("end_id", -1, tf.int32),
        messages=column("messages", 1, tf.int32),
    )


@pytest.fixture(scope="module")
def write(make_network: Callable) -> Callable[..., Written]:
    """Writes after PROMPT with one row for each dictionary of options, in a traced graph."""

    @cache
    def traced(cell: str, layers: int, kind: str) -> tuple[Decoder, Callable]:
        decoder = make_decoder(make_network(cell, layers), kind, LENGTH)
        return decoder, tf.function(decoder.write, reduce_retracing=True)

    def write(*rows: dict, cell="lstm", layers=2, kind="stream", state=None, tail=None, position=0) -> Written:
        decoder, write = traced(cell, layers, kind)
        n_rows = len(rows)
        if state is None:
            lengths = tf.fill([n_rows], len(PROMPT))
            state = decoder.read(decoder.context.zero_state(n_rows), tf.constant([PROMPT] * n_rows), lengths)
        tail = tf.repeat(NO_TAIL, n_rows, axis=0) if tail is None else tail
        return write(state, tail, tf.fill([n_rows], tf.constant(position, tf.int64)), options_of(*rows))

    return write


def row_of(written: Written, row: int = 0) -> list[int]:
    return written.ids[row, : int(written.length[row])].numpy().tolist()


def naive_ids(network: Network, kind: str, rows: list[dict], n_chars: int) -> list[list[int]]:
    """The readable reference: the Keras model on all characters, or on the last LENGTH, for each new one."""
    texts = np.tile(PROMPT, [len(rows), 1])
    seeds = tf.constant([row.get("seed", 0) for row in rows], tf.int64)
    for numbers in uniforms(seeds, tf.zeros_like(seeds), n_chars).numpy():
        logits = network.model(texts if kind == "stream" else texts[:, -LENGTH:]).numpy().astype(np.float64)
        chosen = [naive_choice(*choice, **row) for *choice, row in zip(logits, numbers, rows, strict=True)]
        texts = np.column_stack([texts, np.array(chosen, np.int32)])
    return texts[:, len(PROMPT) :].tolist()


def naive_choice(logits, number, *, temperature=1.0, top_k=0, top_p=1.0, **_) -> int:
    ids = sorted(range(1, len(logits)), key=lambda char: -logits[char])
    if temperature == 0:
        return ids[0]
    weights = {char: np.exp((logits[char] - logits[ids[0]]) / temperature) for char in ids}
    kept = ids[:top_k] if top_k else ids
    nucleus, mass = [], 0.0
    for char in kept:
        nucleus.append(char)
        mass += weights[char]
        if top_p < 1 and mass >= top_p * sum(weights[char] for char in kept):
            break
    cumulative = 0.0
    for char in sorted(nucleus):
        cumulative += weights[char]
        if cumulative > number * mass:
            return char
    raise AssertionError("the cumulative sum ends above every number")


PLAIN = [{"temperature": 0.0}, {"temperature": 1.0, "seed": 5}, {"temperature": 0.5, "seed": -3}]
FILTERED = [
    {"temperature": 1.5, "top_k": 2, "seed": 6},
    {"temperature": 1.2, "top_p": 0.7, "seed": 7},
    {"top_k": 3, "top_p": 0.8, "seed": 2**40},
    {"temperature": 0.0, "top_k": 2},
]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [PLAIN, PLAIN + FILTERED], ids=["plain", "filtered rows among them"])
@each_context
def test_write_equals_the_naive_loop(
    make_network: Callable, write: Callable, cell: str, layers: int, kind: str, rows: list[dict]
) -> None:
    n_chars = 3 * LENGTH + 3
    written = write(*({**row, "max_chars": n_chars} for row in rows), cell=cell, layers=layers, kind=kind)
    assert written.ids.numpy().tolist() == naive_ids(make_network(cell, layers), kind, rows, n_chars)


@each_context
@pytest.mark.slow
def test_write_gives_the_log_prob_that_score_gives(
    make_network: Callable, write: Callable, cell: str, layers: int, kind: str
) -> None:
    decoder = make_decoder(make_network(cell, layers), kind, LENGTH)
    rows = [{"temperature": 0.0}, {"seed": 4}, {"temperature": 1.7, "top_k": 3, "max_chars": 9}]
    written = write(*rows, cell=cell, layers=layers, kind=kind)
    for row in range(len(rows)):
        state = decoder.read(decoder.context.zero_state(1), PROMPT[np.newaxis], tf.constant([len(PROMPT)]))
        _, log_probs, _ = decoder.score(state, tf.constant([row_of(written, row)]))
        np.testing.assert_allclose(written.log_prob[row], tf.reduce_sum(log_probs), rtol=1e-4)


@each_context
def test_score_equals_the_keras_model_after_every_character(
    make_network: Callable, cell: str, layers: int, kind: str
) -> None:
    network = make_network(cell, layers)
    decoder = make_decoder(network, kind, LENGTH)
    text = np.random.default_rng(1).integers(1, 5, 10)
    _, log_probs, hits = decoder.score(decoder.context.zero_state(1), tf.constant(text[np.newaxis], tf.int32))
    for t in range(1, len(text)):
        seen = text[:t] if kind == "stream" else text[max(0, t - LENGTH) : t]
        known = network.model(seen[np.newaxis]).numpy()[0, 1:].astype(np.float64)
        np.testing.assert_allclose(log_probs[0, t], known[text[t] - 1] - np.log(np.exp(known).sum()), atol=1e-5)
        assert hits[0, t] == (np.argmax(known) == text[t] - 1)


def test_score_of_no_characters_has_no_columns(make_network: Callable) -> None:
    decoder = make_decoder(make_network("lstm", 2), "stream", LENGTH)
    _, log_probs, hits = decoder.score(decoder.context.zero_state(3), tf.zeros([3, 0], tf.int32))
    assert log_probs.shape == hits.shape == [3, 0]


@pytest.fixture(scope="module")
def unknown_is_likely() -> Decoder:
    """A decoder of a network that expects `[UNK]` before all others."""
    from charflow.model.config import NetworkConfig

    network = Network(NetworkConfig(units=4), 4, targets="next", seed=1)
    network.model.get_layer("logits").trainable_variables[1].assign([60.0, 0.0, 20.0, 0.0])
    return make_decoder(network, "stream", LENGTH)


@pytest.mark.parametrize("temperature", [0.0, 1e-40, 2e-38, 1e-6, 1.0, 1e4, 1e30, float("inf")])
@pytest.mark.parametrize("top_p", [1.0, 0.9], ids=["plain", "top-p"])
def test_write_never_samples_an_unknown_character(unknown_is_likely: Decoder, temperature: float, top_p: float) -> None:
    options = options_of(*({"temperature": temperature, "top_p": top_p, "seed": seed} for seed in range(8)))
    written = unknown_is_likely.write(
        unknown_is_likely.context.zero_state(8),
        tf.repeat(NO_TAIL, 8, axis=0),
        tf.zeros([8], tf.int64),
        options,
    )
    assert written.ids.numpy().min() >= 1
    assert written.ids.numpy().max() <= 3
    assert np.isfinite(written.log_prob).all()


@pytest.mark.parametrize("temperature", [1e-4, 1e-30, 2e-38, 1e-40], ids=str)
@pytest.mark.parametrize("top_k", [0, 4], ids=["plain", "top-k"])
@pytest.mark.slow
def test_write_just_above_temperature_0_is_greedy(write: Callable, temperature: float, top_k: int) -> None:
    greedy, cold = {"temperature": 0.0, "top_k": top_k}, {"temperature": temperature, "top_k": top_k, "seed": 3}
    assert row_of(write(cold)) == row_of(write(greedy))


@pytest.mark.slow
def test_write_at_an_endless_temperature_uses_every_character(write: Callable) -> None:
    written = write({"temperature": 1e6, "max_chars": 200})
    counts = np.bincount(row_of(written), minlength=5)
    assert counts[0] == 0
    assert counts[1:].min() > 200 / 4 / 2


@pytest.mark.slow
def test_write_of_a_row_whose_temperature_is_no_number_leaves_its_neighbours(write: Callable) -> None:
    neighbour = {"seed": 3}
    assert row_of(write(neighbour, {"temperature": float("nan")})) == row_of(write(neighbour))


def test_write_with_a_filter_beside_gives_the_same_text(write: Callable) -> None:
    """The loop with everything and the plain loop differ in what they can do, not in what they write."""
    rows = [{"seed": 1}, {"temperature": 0.3, "seed": 2}, {"temperature": 0.0}]
    plain, full = write(*rows), write(*rows, {"top_k": 1})
    np.testing.assert_array_equal(full.ids[:3], plain.ids)
    np.testing.assert_array_equal(full.length[:3], plain.length)
    np.testing.assert_array_equal(full.stopped[:3], plain.stopped)
    np.testing.assert_array_equal(full.tail[:3], plain.tail)
    np.testing.assert_allclose(full.log_prob[:3], plain.log_prob, rtol=1e-5)
    for part, expected in zip(full.state, plain.state, strict=True):
        np.testing.assert_allclose(part[:3], expected, atol=1e-5)


MIXED = {
    "plain": {"seed": 3},
    "cold": {"temperature": 0.2, "seed": 3},
    "greedy": {"temperature": 0.0},
    "top-k": {"top_k": 2, "seed": 3},
    "top-p": {"top_p": 0.6, "seed": 3},
    "short": {"max_chars": 7, "seed": 3},
    "none": {"max_chars": 0, "seed": 3},
    "stopped": {"stop": [4], "seed": 3},
    "long": {"max_chars": 45, "seed": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("kind", ["stream", "window"])
def test_write_in_a_mixed_batch_equals_write_alone(write: Callable, kind: str, name: str) -> None:
    together, alone = write(*MIXED.values(), kind=kind), write(MIXED[name], kind=kind)
    row = list(MIXED).index(name)
    assert row_of(together, row) == row_of(alone)
    assert not together.ids[row, int(together.length[row]) :].numpy().any()
    assert bool(together.stopped[row]) == bool(alone.stopped[0])
    np.testing.assert_allclose(together.log_prob[row], alone.log_prob[0], rtol=1e-4)
    np.testing.assert_array_equal(together.tail[row], alone.tail[0])
    for part, expected in zip(together.state, alone.state, strict=True):
        np.testing.assert_allclose(part[row], expected[0], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"stop": [4]}], ids=["plain", "top-p", "stop"])
@pytest.mark.parametrize("kind", ["stream", "window"])
@pytest.mark.slow
def test_write_of_no_characters_changes_nothing(write: Callable, kind: str, options: dict) -> None:
    before = write({"max_chars": 5}, kind=kind)
    after = write({"max_chars": 0, **options}, kind=kind, state=before.state, tail=before.tail, position=5)
    assert after.ids.shape == [1, 0]
    assert after.length.numpy().tolist() == [0]
    assert after.stopped.numpy().tolist() == [False]
    assert after.log_prob.numpy().tolist() == [0.0]
    np.testing.assert_array_equal(after.tail, before.tail)
    for part, expected in zip(after.state, before.state, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("options", [{"seed": 9}, {"seed": 9, "top_k": 3}], ids=["plain", "top-k"])
@pytest.mark.parametrize("chunks", [[20, 20], [1, 38, 1], [33, 0, 7]], ids=str)
@pytest.mark.parametrize("kind", ["stream", "window"])
def test_write_in_chunks_equals_write_at_once(
    make_network: Callable, write: Callable, kind: str, chunks: list, options: dict
) -> None:
    context = make_decoder(make_network("lstm", 2), kind, LENGTH).context
    state, tail, position, found, log_prob = None, None, 0, [], 0.0
    for size in chunks:
        written = write({**options, "max_chars": size}, kind=kind, state=state, tail=tail, position=position)
        state, tail, position = context.unpack(context.pack(written.state)), written.tail, position + size
        found += row_of(written)
        log_prob += float(written.log_prob[0])
    whole = write({**options, "max_chars": 40}, kind=kind)
    assert found == row_of(whole)
    np.testing.assert_array_equal(tail, whole.tail)
    assert log_prob == pytest.approx(float(whole.log_prob[0]), rel=1e-4)


@pytest.mark.parametrize("length", [1, 2, 5, LONGEST_STOP], ids=lambda length: f"{length} characters")
def test_write_ends_with_the_first_stop_string(write: Callable, length: int) -> None:
    whole = row_of(write({"seed": 8, "max_chars": 60}))
    stop = whole[12 : 12 + length]
    end = next(end for end in range(length, 61) if whole[end - length : end] == stop)
    written = write({"seed": 8, "max_chars": 60, "stop": stop})
    assert row_of(written) == whole[:end]
    assert written.stopped.numpy().tolist() == [True]
    assert int(written.length[0]) == end


def test_write_without_the_stop_string_goes_on_to_the_end(write: Callable) -> None:
    whole = row_of(write({"seed": 8}))
    absent = next([a, b, c] for a in (1, 2, 3) for b in (4, 2) for c in (1, 3) if not contains(whole, [a, b, c]))
    written = write({"seed": 8, "stop": absent})
    assert row_of(written) == whole
    assert written.stopped.numpy().tolist() == [False]


def contains(text: list[int], part: list[int]) -> bool:
    return any(text[start : start + len(part)] == part for start in range(len(text)))


@pytest.mark.parametrize("cut", [11, 12, 13, 14, 15, 16], ids=lambda cut: f"cut after {cut}")
def test_write_finds_a_stop_string_that_began_in_an_earlier_chunk(write: Callable, cut: int) -> None:
    whole = row_of(write({"seed": 8, "max_chars": 30}))
    stop = whole[10:16]
    options = {"seed": 8, "stop": stop}
    assert not contains(whole[:15], stop)
    first = write({**options, "max_chars": cut})
    if cut == 16:
        assert first.stopped.numpy().tolist() == [True]
        return
    second = write(
        {**options, "max_chars": 30 - cut}, state=first.state, tail=first.tail, position=int(first.length[0])
    )
    assert (first.stopped.numpy().tolist(), second.stopped.numpy().tolist()) == ([False], [True])
    assert row_of(first) + row_of(second) == whole[:16]


def test_write_does_not_take_the_prompt_s_end_for_part_of_a_stop_string(write: Callable) -> None:
    first = row_of(write({"seed": 8}))[0]
    written = write({"seed": 8, "stop": [int(PROMPT[-1]), first], "max_chars": 1})
    assert written.stopped.numpy().tolist() == [False]


def test_write_keeps_the_last_characters_as_its_tail(write: Callable) -> None:
    short = write({"max_chars": 5})
    np.testing.assert_array_equal(short.tail[0], [0] * (LONGEST_STOP - 5) + row_of(short))
    long = write({"max_chars": 40})
    np.testing.assert_array_equal(long.tail[0], row_of(long)[-LONGEST_STOP:])
