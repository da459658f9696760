"""The five signatures, called as TensorFlow Serving calls them, against the in-process generator."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from charflow.export.session import SessionRunner
from charflow.export.signatures import SIGNATURES
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import SETTINGS, SamplingSettings
from charflow.pipeline.marks import END, NAMES
from tests.support import USUAL, whole_settings

PROMPT = "oh my dears, the "
SAMPLING = {"prompt": ("string", [-1]), **{setting.name: (setting.dtype, [-1]) for setting in SETTINGS}}
COMPLETION = {
    "text": ("string", [-1]),
    "log_prob": ("float32", [-1]),
    "length": ("int32", [-1]),
    "finish_reason": ("string", [-1]),
}
POSITION = {"position": ("int64", [-1])}
CHARS = 37  # in mira's messages, and their end
STATE = 2 * 24 + 32 + 1  # h and c of 24 units, the tail that a stop string may begin in, messages that are over

INPUTS: dict[str, dict[str, tuple[str, list]]] = {
    "serving_default": {"prompt": ("string", [-1])},
    "generate": SAMPLING,
    "next_char": {"prompt": ("string", [-1])},
    "score": {"text": ("string", [-1])},
    "stream": {**SAMPLING, **POSITION, "state": ("float32", [-1, STATE])},
}
OUTPUTS = {
    "serving_default": {"text": ("string", [-1])},
    "generate": COMPLETION,
    "next_char": {"chars": ("string", [-1, CHARS]), "probabilities": ("float32", [-1, CHARS])},
    "score": {
        "bits_per_char": ("float32", [-1]),
        "char_log_probs": ("float32", [-1, -1]),
        "length": ("int32", [-1]),
        "unknown_chars": ("int32", [-1]),
        "truncated": ("bool", [-1]),
    },
    "stream": {**COMPLETION, **POSITION, "state": ("float32", [-1, -1])},
}
# What may be left out, and a request that differs from every default of `plain`.
REQUEST = whole_settings(**USUAL, max_chars=9, temperature=1.1, seed=11, stop=" ")


def texts(*values: str) -> np.ndarray:
    return np.array([value.encode() for value in values], object)


def decoded(values: np.ndarray) -> list[str]:
    return [value.decode() for value in values]


def described(part) -> dict[str, tuple[str, list[int]]]:
    return {
        name: (tf.as_dtype(info.dtype).name, [dim.size for dim in info.tensor_shape.dim]) for name, info in part.items()
    }


def test_signatures_are_five(session: SessionRunner) -> None:
    assert set(session.signatures) == set(SIGNATURES) == set(INPUTS)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature_inputs_have_the_batch_first(session: SessionRunner, name: str) -> None:
    assert described(session.signatures[name].inputs) == INPUTS[name]


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature_outputs_have_the_batch_first(session: SessionRunner, name: str) -> None:
    found = described(session.signatures[name].outputs)
    if name == "stream":
        found["state"] = (found["state"][0], [-1 for _ in found["state"][1]])  # its width may be static or not
    assert found == OUTPUTS[name]


@pytest.mark.parametrize("name", ["serving_default", "next_char", "score"])
def test_signature_of_one_input_has_no_default(session: SessionRunner, name: str) -> None:
    assert not session.signatures[name].defaults


@pytest.mark.parametrize("name", ["generate", "stream"])
def test_signature_defaults_are_the_settings(session: SessionRunner, name: str) -> None:
    expect_defaults(session, name, SamplingSettings())


@pytest.mark.parametrize("name", ["generate", "stream"])
def test_signature_defaults_are_the_settings_given_at_export(
    windowed_session: SessionRunner, windowed_settings: SamplingSettings, name: str
) -> None:
    expect_defaults(windowed_session, name, windowed_settings)


def expect_defaults(session: SessionRunner, name: str, settings: SamplingSettings) -> None:
    defaults = {key: tf.make_ndarray(value) for key, value in session.signatures[name].defaults.items()}
    dtypes = {key: value.dtype.name for key, value in defaults.items() if value.dtype != object}
    assert set(defaults) == set(INPUTS[name]) - {"prompt"}
    assert dtypes == {key: kind for key, (kind, _) in INPUTS[name].items() if kind != "string"}
    assert all(len(value) == 1 for value in defaults.values())
    for setting, expected in whole_settings(**asdict(settings)).items():
        found = decoded(defaults[setting]) if setting == "stop" else defaults[setting].tolist()
        assert found == expected.tolist(), setting
    if name == "stream":
        assert not defaults["state"].any()
        assert defaults["position"] == 0


def test_generate_without_options_takes_the_defaults(session: SessionRunner, generator: Generator) -> None:
    answer = session("generate", {"prompt": texts(PROMPT)})
    expected = generator.generate(PROMPT)[0]
    assert decoded(answer["text"]) == [expected.text]
    assert 0 < len(expected.text) < 400
    assert answer["length"] == expected.length
    assert decoded(answer["finish_reason"]) == ["end"]
    assert answer["log_prob"][0] == pytest.approx(expected.log_prob, rel=1e-4)


def test_generate_obeys_every_option(session: SessionRunner, generator: Generator) -> None:
    answer = session("generate", {"prompt": texts(PROMPT), **REQUEST})
    expected = generator.generate(PROMPT, **{name: value.item() for name, value in REQUEST.items()})[0]
    assert decoded(answer["text"]) == [expected.text]
    assert decoded(answer["finish_reason"]) == [expected.finish_reason]


@pytest.mark.parametrize("left_out", REQUEST)
def test_generate_takes_the_default_of_each_option_that_is_left_out(session: SessionRunner, left_out: str) -> None:
    default = getattr(SamplingSettings(), left_out)
    request = {"prompt": texts(PROMPT), **REQUEST}
    without = {name: value for name, value in request.items() if name != left_out}
    given = texts(default) if left_out == "stop" else np.array([default], REQUEST[left_out].dtype)
    found, expected = session("generate", without), session("generate", {**request, left_out: given})
    assert decoded(found["text"]) == decoded(expected["text"])


def test_generate_broadcasts_options_of_one_row(session: SessionRunner, generator: Generator) -> None:
    prompts = ["", "the old goat", "🌻"]
    answer = session("generate", {"prompt": texts(*prompts), "max_chars": np.array([15], np.int32)})
    assert decoded(answer["text"]) == [generator.generate(prompt, max_chars=15)[0].text for prompt in prompts]


def test_generate_takes_options_for_each_row(session: SessionRunner, generator: Generator) -> None:
    answer = session(
        "generate",
        {
            "prompt": texts(PROMPT, PROMPT, PROMPT),
            "max_chars": np.array([5, 0, 8], np.int32),
            "seed": np.array([1, 2, 3], np.int64),
        },
    )
    expected = [generator.generate(PROMPT, max_chars=n, seed=seed)[0].text for n, seed in [(5, 1), (0, 2), (8, 3)]]
    assert decoded(answer["text"]) == expected
    assert answer["length"].tolist() == [5, 0, 8]


def test_generate_clamps_the_length_to_the_limits(windowed_session: SessionRunner) -> None:
    request = {"prompt": texts("a", "a"), "max_chars": np.array([1000, -4], np.int32), "stop": texts("")}
    answer = windowed_session("generate", request)
    assert answer["length"].tolist() == [25, 0]
    assert [len(text) for text in decoded(answer["text"])] == [25, 0]
    assert decoded(answer["finish_reason"]) == ["length", "length"]


def test_generate_keeps_the_end_of_a_prompt_over_the_limit(windowed_session: SessionRunner) -> None:
    long = "the tomatoes are growing behind the shed, bless them"
    whole, end = (windowed_session("generate", {"prompt": texts(prompt)}) for prompt in (long, long[-30:]))
    assert whole["log_prob"] == pytest.approx(end["log_prob"], abs=1e-5)
    assert decoded(whole["text"]) == decoded(end["text"])


def test_serving_default_writes_with_the_settings(session: SessionRunner, generator: Generator) -> None:
    answer = session("serving_default", {"prompt": texts(PROMPT, "")})
    assert decoded(answer["text"]) == [generator.generate(prompt)[0].text for prompt in (PROMPT, "")]


def test_serving_default_writes_with_the_settings_given_at_export(
    windowed_session: SessionRunner, windowed_settings: SamplingSettings, trained_run: Path
) -> None:
    generator = Generator.load(trained_run, context="window")
    answer = windowed_session("serving_default", {"prompt": texts(PROMPT)})
    assert decoded(answer["text"]) == [generator.generate(PROMPT, **asdict(windowed_settings))[0].text]


def test_next_char_ranks_every_character_once(session: SessionRunner, generator: Generator) -> None:
    answer = session("next_char", {"prompt": texts(PROMPT, "")})
    for chars, probabilities in zip(answer["chars"], answer["probabilities"], strict=True):
        assert sorted(decoded(chars)) == sorted(NAMES.get(char, char) for char in generator.vocabulary.chars)
        assert (np.diff(probabilities) <= 0).all()
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_next_char_is_what_greedy_generation_writes(session: SessionRunner) -> None:
    answer = session("next_char", {"prompt": texts(PROMPT)})
    greedy = session(
        "generate",
        {"prompt": texts(PROMPT), "temperature": np.zeros(1, np.float32), "max_chars": np.ones(1, np.int32)},
    )
    assert answer["chars"][0][0] == greedy["text"][0]


def test_score_chains_the_probabilities_of_next_char(session: SessionRunner) -> None:
    answer = session("score", {"text": texts("goat")})
    ranked = session("next_char", {"prompt": texts("", *(f"{END}goat"[:length] for length in range(2, 6)))})
    expected = [
        math.log(probabilities[decoded(chars).index(char)])
        for char, chars, probabilities in zip([*"goat", "[END]"], ranked["chars"], ranked["probabilities"], strict=True)
    ]
    assert answer["char_log_probs"][0] == pytest.approx(expected, abs=1e-4)
    assert answer["bits_per_char"][0] == pytest.approx(-sum(expected) / 5 / math.log(2), abs=1e-4)
    assert answer["length"].tolist() == [5]


def test_score_counts_unknown_characters_and_pads(session: SessionRunner) -> None:
    answer = session("score", {"text": texts("GOAT", "ZzZ", "", "a7")})
    assert answer["length"].tolist() == [5, 4, 1, 3]
    assert answer["unknown_chars"].tolist() == [0, 3, 0, 1]
    assert answer["char_log_probs"].shape == (4, 5)
    assert (answer["char_log_probs"] < 0).tolist() == [
        [True] * 5,
        [False] * 3 + [True, False],  # the end alone is known
        [True] + [False] * 4,
        [True, False, True, False, False],
    ]


def test_score_reads_text_up_to_the_limit(windowed_session: SessionRunner) -> None:
    answer = windowed_session("score", {"text": texts("a" * 31, "a" * 30)})
    assert answer["length"].tolist() == [30, 31]  # of the whole one the end, too


@pytest.mark.parametrize("stop", ["", " "], ids=["no stop", "stop"])
def test_stream_in_chunks_equals_generate(session: SessionRunner, stop: str) -> None:
    options = {"temperature": np.ones(1, np.float32), "seed": np.array([5], np.int64), "stop": texts(stop)}
    whole = session("generate", {"prompt": texts(PROMPT), "max_chars": np.array([24], np.int32), **options})
    request = {"prompt": texts(PROMPT), "max_chars": np.array([5], np.int32), **options}
    written = ""
    while len(written) < 24:
        request["max_chars"] = np.array([min(5, 24 - len(written))], np.int32)
        answer = session("stream", request)
        written += decoded(answer["text"])[0]
        assert answer["position"] == len(written)
        if decoded(answer["finish_reason"]) != ["length"]:
            break
        request |= {"prompt": texts(""), "state": answer["state"], "position": answer["position"]}
    assert [written] == decoded(whole["text"])
    assert (len(written) < 24) == bool(stop)


def test_stream_carries_a_state_of_the_card_size(windowed_session: SessionRunner) -> None:
    answer = windowed_session("stream", {"prompt": texts("a", "b")})
    assert answer["state"].shape == (2, 2 * 20 * 24 + 1 + 32 + 1)
    ended = np.array([reason == "end" for reason in decoded(answer["finish_reason"])])
    assert answer["position"].tolist() == (answer["length"] + ended).tolist()
