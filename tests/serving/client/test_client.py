"""Both clients over both protocols: what is sent, and what comes back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from charflow.serving import Completion, FailedPrecondition, NextChars, Score, VersionStatus

SENTENCES = ["how do i ", "", 'caf\u00e9 🌻\n"quoted" \\ \x00']


def test_generate_gives_one_result_for_a_str_and_a_list_for_a_list(client: Any) -> None:
    one = client.generate("how do i ", seed=7)
    assert isinstance(one, Completion)
    assert (one.length, one.log_prob, one.finish_reason) == (12, -6.0, "length")
    assert len(one.text) == 12
    assert client.generate(["how do i "], seed=7) == [one]
    assert client.generate(("how do i ",), seed=7) == [one]


def test_generate_of_several_prompts_is_each_alone(client: Any) -> None:
    together = client.generate(SENTENCES, seed=7)
    assert together == [client.generate(each, seed=7 + row) for row, each in enumerate(SENTENCES)]
    assert len({each.text for each in together}) == 3


def test_generate_sends_every_input_in_full(client: Any, backend: Any) -> None:
    client.generate(["a", "b"])
    signature, version, inputs = backend.asked[-1]
    assert (signature, version) == ("generate", None)
    assert inputs == {
        "prompt": ["a", "b"],
        "max_chars": [12, 12],
        "temperature": [0.5, 0.5],
        "top_k": [0, 0],
        "top_p": [1.0, 1.0],
        "seed": [5, 6],
        "stop": ["", ""],
    }


def test_generate_takes_a_setting_for_each_prompt(client: Any, backend: Any) -> None:
    settings = {"max_chars": [1, 2], "temperature": [0, 1.5], "top_k": [3, 4], "top_p": [0.5, 1], "seed": [-9, 2**62]}
    client.generate(["a", "b"], **settings, stop=["x", "🌻"])
    _, _, inputs = backend.asked[-1]
    assert inputs == {"prompt": ["a", "b"], **settings, "stop": ["x", "🌻"]}


def test_generate_takes_whatever_settings_the_model_has(client: Any, backend: Any) -> None:
    backend.further = {"min_p": np.array([0.25], np.float32), "since": np.array([2**40]), "rate": np.array([1e-300])}
    client.generate(["a", "b"])
    assert {name: backend.asked[-1][2][name] for name in backend.further} == {
        "min_p": [0.25, 0.25],
        "since": [2**40, 2**40],
        "rate": [1e-300, 1e-300],
    }
    client.generate(["a", "b"], min_p=0.5, since=[-1, 2**62], rate=None)
    assert {name: backend.asked[-1][2][name] for name in backend.further} == {
        "min_p": [0.5, 0.5],
        "since": [-1, 2**62],
        "rate": [1e-300, 1e-300],
    }


def test_generate_takes_truth_values(client: Any, backend: Any) -> None:
    backend.further = {"stop_at_end": np.array([True])}
    for given, sent in ((None, [True, True]), (False, [False, False]), ([np.True_, False], [True, False])):
        client.generate(["a", "b"], stop_at_end=given)
        assert backend.asked[-1][2]["stop_at_end"] == sent


def test_samplers_out_of_their_range_are_for_the_model_to_take(client: Any, backend: Any) -> None:
    client.generate("a", top_k=-1, top_p=1.5)
    _, _, inputs = backend.asked[-1]
    assert (inputs["top_k"], inputs["top_p"]) == ([-1], [1.5])


def test_generate_takes_numpy_numbers(client: Any, backend: Any) -> None:
    client.generate("a", seed=np.int64(4), temperature=np.float32(0.25))
    _, _, inputs = backend.asked[-1]
    assert (inputs["seed"], inputs["temperature"]) == ([4], [0.25])


def test_generate_reads_the_defaults_once(client: Any, backend: Any) -> None:
    for top_k in (None, 3, 4):
        client.generate("a", top_k=top_k)
    assert backend.calls == 4


def test_defaults_of_one_value_that_stand_in_the_packed_bytes_are_read(client: Any, backend: Any) -> None:
    backend.defaults["temperature"] = np.array([0.75], np.float32)
    backend.defaults["stop"] = np.array(["é"], object)
    client.generate("a")
    _, _, inputs = backend.asked[-1]
    assert (inputs["temperature"], inputs["stop"]) == ([0.75], ["é"])


def test_generate_says_which_default_the_model_lacks(client: Any, backend: Any) -> None:
    del backend.defaults["top_k"]
    with pytest.raises(FailedPrecondition, match=r"^The model has no default for top_k: pass one\.$"):
        client.generate("a")
    assert client.generate("a", top_k=0).length == 12


def test_generate_says_which_signatures_another_model_has(client: Any, backend: Any) -> None:
    backend.signatures_left_out = {"generate", "stream", "score"}
    with pytest.raises(FailedPrecondition) as caught:
        client.generate("a")
    assert caught.value.message == (
        "Version 3 of model 'fake' has no signature 'generate'. Its signatures are: next_char, serving_default."
    )


@pytest.mark.parametrize(
    ("n_prompts", "sizes"), [(1, [1]), (4, [4]), (5, [4, 1]), (9, [4, 4, 1])], ids=["one", "full", "over", "three"]
)
def test_long_lists_are_cut_into_requests(
    connect: Callable[..., Any], backend: Any, n_prompts: int, sizes: list[int]
) -> None:
    client = connect(max_batch=4)
    prompts = [f"prompt {index}" for index in range(n_prompts)]
    seeds = list(range(n_prompts))
    found = client.generate(prompts, seed=seeds)
    assert [len(inputs["prompt"]) for _, _, inputs in backend.asked] == sizes
    assert found == [client.generate(prompt, seed=seed) for prompt, seed in zip(prompts, seeds)]


def test_complete_uses_the_settings_of_the_export(client: Any) -> None:
    assert client.complete("how do i ") == client.generate("how do i ").text
    assert client.complete(SENTENCES) == [client.generate(each).text for each in SENTENCES]


def test_next_char_ranks_the_characters(client: Any) -> None:
    one = client.next_char("a")
    assert one == NextChars(tuple("bcdefghij a"), tuple(2.0**-place for place in range(1, 12)))
    assert client.next_char(["a", "bc"]) == [one, client.next_char("bc")]


def test_score_leaves_the_padding_out(client: Any) -> None:
    found = client.score(["abc", "", "🌻"])
    assert found == [
        Score(0.25, (-0.25,) * 3, 3, 0, False),
        Score(0.0, (), 0, 0, False),
        Score(0.25, (-0.25,), 1, 1, False),
    ]
    assert client.score("abc") == found[0]
    assert client.score("") == found[1]


def test_score_says_what_the_limit_of_the_export_cut_off(client: Any, backend: Any) -> None:
    backend.score_limit = 2
    found = client.score(["abc", "ab"])
    assert found == [Score(0.25, (-0.25,) * 2, 2, 0, truncated) for truncated in (True, False)]


def test_score_of_an_export_that_does_not_say_what_it_cut_off(client: Any, backend: Any) -> None:
    backend.changes = {"truncated": None}
    assert [found.truncated for found in client.score(["abc", "ab"])] == [None, None]
    assert client.score("abc").length == 3


def test_status_lists_the_versions(client: Any, backend: Any) -> None:
    backend.versions = [3, 4]
    assert client.status() == [
        VersionStatus(4, "AVAILABLE", "OK", ""),
        VersionStatus(3, "AVAILABLE", "OK", ""),
        VersionStatus(1, "END", "RESOURCE_EXHAUSTED", "out of memory"),
    ]


def test_metadata_has_the_signatures(client: Any) -> None:
    metadata = client.metadata()
    assert (metadata.name, metadata.version) == ("fake", 3)
    assert sorted(metadata.signatures) == ["generate", "next_char", "score", "serving_default", "stream"]
    stream = metadata.signature("stream")
    assert (stream.inputs["state"].dtype, stream.inputs["state"].shape) == ("DT_FLOAT", (None, 5))
    assert (stream.inputs["prompt"].dtype, stream.inputs["prompt"].shape) == ("DT_STRING", (None,))
    assert stream.outputs["text"].dtype == "DT_STRING"
    assert stream.defaults["state"] == [[0.0] * 5]
    assert (stream.defaults["seed"], stream.defaults["stop"], stream.defaults["top_p"]) == ([5], [""], [1.0])
    assert metadata.signature("serving_default").defaults == {}


@pytest.mark.parametrize(
    ("options", "version"), [({}, 4), ({"version": 3}, 3), ({"label": "stable"}, 3)], ids=["latest", "number", "label"]
)
def test_the_version_asked_for_answers(
    connect: Callable[..., Any], backend: Any, options: dict[str, Any], version: int
) -> None:
    backend.versions = [3, 4]
    client = connect(**options)
    assert client.metadata().version == version
    texts = {number: connect(version=number).complete("a") for number in (3, 4)}
    assert client.complete("a") == texts[version] != texts[7 - version]


@pytest.mark.slow
def test_texts_over_four_megabytes_pass(client: Any) -> None:
    assert client.score("x" * 4_200_000).length == 4_200_000
