"""`charflow generate`: prompts in, texts out."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import SamplingSettings
from charflow.model.decoding.text_model import Completions, TextModel

PROMPT = "oh my dears, "
_LOAD = Generator.load
_load_once = cache(_LOAD)  # no test changes a run


@pytest.fixture(scope="module")
def generator(trained_run: Path) -> Generator:
    return _load_once(trained_run, context="stream", xla=False)


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the command take a generator that is loaded, and traced, already."""
    monkeypatch.setattr(Generator, "load", _load_once)


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Sets what a command reads, as Python opens it on a UTF-8 system."""

    def give(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return give


def test_generate_prints_the_prompt_and_what_follows(call: Callable, trained_run: Path, generator: Generator) -> None:
    done = call("generate", trained_run, PROMPT, "--length", 50)
    expected = generator.generate(PROMPT, max_chars=50)[0].text
    assert (done.status, done.out, done.err) == (0, f"{PROMPT}{expected}\n", "")


@pytest.mark.parametrize(
    ("options", "loop"), [([], "plain"), (["--stop", "e"], "rows"), (["--top-k", 3], "sampled")], ids=str
)
def test_generate_traces_once_before_it_writes(
    call: Callable, trained_run: Path, monkeypatch: pytest.MonkeyPatch, options: list, loop: str
) -> None:
    complete, loops = TextModel.complete, []

    def noting(*given: Any, loop: str, **how: Any) -> Completions:
        loops.append(loop)
        return complete(*given, loop=loop, **how)

    monkeypatch.setattr(TextModel, "complete", noting)
    monkeypatch.setattr(Generator, "load", _LOAD)
    assert call("generate", trained_run, PROMPT, "--length", 5, *options).status == 0
    assert loops == [loop]


@pytest.mark.slow
@pytest.mark.parametrize("form", [["--json", "--count", 2], []], ids=["json, two texts", "text"])
def test_generate_by_xla_writes_the_same(call: Callable, trained_run: Path, form: list[str]) -> None:
    graph, xla = (call("generate", trained_run, PROMPT, "--no-stop-at-end", *form, *more) for more in ([], ["--xla"]))
    if not form:
        assert xla.out == graph.out
        return
    expected, found = (done.json["completions"] for done in (graph, xla))
    assert [row["text"] for row in found] == [row["text"] for row in expected]
    assert [row["log_prob"] for row in found] == pytest.approx([row["log_prob"] for row in expected], rel=1e-4)


def test_generate_without_a_prompt_begins_a_message(call: Callable, trained_run: Path, generator: Generator) -> None:
    done = call("generate", trained_run)
    assert done.out == generator.generate("")[0].text + "\n"


def test_generate_writes_the_same_for_the_same_seed(call: Callable, trained_run: Path) -> None:
    seeds = [7, 7, 8]
    first, again, other = (call("generate", trained_run, PROMPT, "--seed", seed).out for seed in seeds)
    assert first == again
    assert first != other


def test_generate_obeys_every_option(call: Callable, trained_run: Path, generator: Generator) -> None:
    options = ["--temperature", 1.3, "--top-k", 9, "--top-p", 0.8, "--seed", -2, "--stop", "e", "--length", 70]
    done = call("generate", trained_run, PROMPT, *options)
    expected = generator.generate(PROMPT, temperature=1.3, top_k=9, top_p=0.8, seed=-2, stop="e", max_chars=70)[0]
    assert done.out == f"{PROMPT}{expected.text}\n"
    assert expected.finish_reason == "stop"


def test_generate_count_goes_on_with_the_next_seeds(call: Callable, trained_run: Path, generator: Generator) -> None:
    done = call("generate", trained_run, PROMPT, "--count", 3, "--seed", 5, "--length", 20)
    expected = [generator.generate(PROMPT, seed=seed, max_chars=20)[0].text for seed in (5, 6, 7)]
    assert done.out == "".join(f"{PROMPT}{text}\n" for text in expected)
    assert done.err == "--- seed 5 ---\n--- seed 6 ---\n--- seed 7 ---\n"


def test_generate_says_which_prompt_a_text_continues(call: Callable, trained_run: Path) -> None:
    done = call("generate", trained_run, "a", "b", "--length", 3, "--seed", 5)
    assert done.err == "--- prompt 1 of 2, seed 5 ---\n--- prompt 2 of 2, seed 6 ---\n"


def test_generate_json_has_every_completion(call: Callable, trained_run: Path, generator: Generator) -> None:
    done = call("generate", trained_run, PROMPT, "the old ", "--count", 2, "--length", 30, "--stop", "e", "--json")
    assert (done.status, done.err) == (0, "")
    figures = done.json
    expected = [
        (prompt, seed, generator.generate(prompt, seed=seed, max_chars=30, stop="e")[0])
        for seed, prompt in enumerate([PROMPT, PROMPT, "the old ", "the old "])
    ]
    assert [
        (row["prompt"], row["seed"], row["text"], row["length"], row["finish_reason"]) for row in figures["completions"]
    ] == [(prompt, seed, text.text, text.length, text.finish_reason) for prompt, seed, text in expected]
    assert {row["finish_reason"] for row in figures["completions"]} >= {"stop"}
    assert figures["characters"] == sum(text.length for *_, text in expected)
    assert figures["characters_per_second"] > 0
    assert figures["settings"] == asdict(SamplingSettings(max_chars=30, stop="e"))


def test_generate_ends_with_the_message(call: Callable, trained_run: Path) -> None:
    def written(*options: object) -> dict[str, Any]:
        completions: list[dict[str, Any]] = call("generate", trained_run, *options, "--json").json["completions"]
        return completions[0]

    one, three, endless = written(), written("--max-messages", 3), written("--no-stop-at-end")
    assert (one["finish_reason"], three["finish_reason"], endless["finish_reason"]) == ("end", "end", "length")
    assert 0 < one["length"] < 400
    assert three["text"].startswith(f"{one['text']}\n")
    assert len(three["text"].splitlines()) == 3
    assert endless["length"] == 400
    assert call("generate", trained_run, "--stop-at-end").out == f"{one['text']}\n"


def test_generate_reads_prompts_from_a_file(call: Callable, trained_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes("oh my\r\n\r\n🌻 the\r\n".encode())
    done = call("generate", trained_run, "--prompts", file, "--length", 5, "--json")
    assert [row["prompt"] for row in done.json["completions"]] == ["oh my", "", "🌻 the"]


def test_generate_reads_a_file_with_a_byte_order_mark(call: Callable, trained_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"\xef\xbb\xbfoh my\n")
    done = call("generate", trained_run, "--prompts", file, "--length", 5, "--json")
    assert [row["prompt"] for row in done.json["completions"]] == ["oh my"]
    assert done.err == ""


def test_generate_reads_prompts_from_standard_input(
    call: Callable, trained_run: Path, standard_input: Callable
) -> None:
    standard_input("oh my\nthe 🌻\n".encode())
    done = call("generate", trained_run, "first", "-", "last", "--length", 5, "--json")
    assert [row["prompt"] for row in done.json["completions"]] == ["first", "oh my", "the 🌻", "last"]


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "text"])
def test_generate_writes_many_texts_in_one_batch(
    call: Callable, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    batches, generate = [], Generator.generate

    def counted(self: Generator, prompts: object, **settings: Any) -> object:
        batches.append(prompts)
        return generate(self, prompts, **settings)

    monkeypatch.setattr(Generator, "generate", counted)
    (tmp_path / "prompts.txt").write_text("oh my\nthe\n")
    call("generate", trained_run, "--prompts", tmp_path / "prompts.txt", "--count", 2, "--length", 5, *form)
    assert batches[1:] == [["oh my", "oh my", "the", "the"]]  # the first traces the graph


@pytest.mark.parametrize(
    ("unknown", "kept", "read_as"),
    [("warn", "7 Goats, Ω", "read as [UNK]"), ("skip", " Goats, ", "left out")],
)
def test_generate_tells_of_unknown_characters(
    call: Callable, trained_run: Path, generator: Generator, unknown: str, kept: str, read_as: str
) -> None:
    done = call("generate", trained_run, "7 Goats, Ω", "--unknown", unknown, "--length", 40)
    assert done.status == 0
    assert done.err == f"charflow: the model has never seen '7', 'Ω': {read_as}.\n"
    assert done.out == kept + generator.generate(kept, max_chars=40)[0].text + "\n"


def test_generate_refuses_unknown_characters_where_asked(refused: Callable, trained_run: Path) -> None:
    message = refused("generate", trained_run, "7 Goats", "--unknown", "error")
    assert message == "The model has never seen '7': change the prompt, or pass --unknown warn or skip."


def test_generate_sees_the_last_window_only_where_asked(call: Callable, trained_run: Path) -> None:
    outputs = [
        call("generate", trained_run, PROMPT, "--context", context, "--temperature", 1, "--json").json
        for context in ("window", "stream")
    ]
    expected = Generator.load(trained_run, context="window").generate(PROMPT, temperature=1)[0]
    assert outputs[0]["completions"][0]["text"] == expected.text
    assert outputs[0]["completions"][0]["log_prob"] != outputs[1]["completions"][0]["log_prob"]


def test_generate_writes_nothing_of_length_zero(call: Callable, trained_run: Path) -> None:
    assert call("generate", trained_run, PROMPT, "--length", 0).out == f"{PROMPT}\n"


@pytest.mark.parametrize("content", [b"", b"\n"], ids=["nothing", "an empty line"])
def test_generate_tells_no_prompt_from_an_empty_one(
    call: Callable, trained_run: Path, standard_input: Callable, content: bytes
) -> None:
    standard_input(content)
    done = call("generate", trained_run, "-", "--length", 5, "--no-stop-at-end")
    if content:
        assert (done.status, len(done.out)) == (0, 6)
    else:
        assert (done.status, done.err) == (2, "charflow: No prompt was found: the input is empty.\n")


OPTIONS = {
    "temperature": (["--temperature", -1], "--temperature must be at least 0, not -1 (0 is greedy)."),
    "no temperature": (
        ["--temperature", "nan"],
        "--temperature must be a finite number of at least 0, not nan (0 is greedy).",
    ),
    "length": (["--length", -1], "--length must be at least 0, not -1."),
    "top-k": (["--top-k", -1], "--top-k must be at least 0, not -1 (0 is off)."),
    "top-p": (["--top-p", 0], "--top-p must be above 0 and at most 1, not 0 (1 is off)."),
    "stop": (["--stop", "x" * 33], "--stop has 33 characters; at most 32 are compared."),
    "seed": (["--seed", 2**63], f"--seed must be at most {2**63 - 1:,}, not {2**63:,}."),
    "count": (["--count", 0], "--count must be at least 1 and at most 100,000, not 0."),
    "context": (["--context", "all"], "--context must be stream or window, not 'all'."),
    "unknown": (
        ["--unknown", "no"],
        "--unknown must be warn, skip or error, not 'no'.",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_generate_refuses_options_out_of_range(refused: Callable, trained_run: Path, case: str) -> None:
    options, message = OPTIONS[case]
    assert refused("generate", trained_run, PROMPT, *options) == message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--temperature", "inf"], "temperature"),
        (["--length", 2**40], "length"),
        (["--top-k", 2**40], "--top-k"),
        (["--seed", 2**63 - 1, "--count", 2], "seed"),
    ],
    ids=["infinite temperature", "length of 41 bits", "top-k of 41 bits", "seeds over 64 bits"],
)
def test_generate_refuses_numbers_that_do_not_fit(
    refused: Callable, trained_run: Path, options: list[object], says: str
) -> None:
    assert says in refused("generate", trained_run, PROMPT, *options)


@pytest.mark.parametrize("way", ["file", "standard input", "argument"])
def test_generate_refuses_prompts_that_are_not_utf8(
    refused: Callable, trained_run: Path, standard_input: Callable, tmp_path: Path, way: str
) -> None:
    standard_input(b"caf\xe9\n")
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"caf\xe9\n")
    arguments = {"file": ["--prompts", file], "standard input": ["-"], "argument": ["caf\udce9"]}[way]
    assert "UTF-8" in refused("generate", trained_run, *arguments)


@pytest.mark.parametrize("name", ["missing", "."], ids=["missing", "folder"])
def test_generate_refuses_a_file_of_prompts_it_cannot_read(
    refused: Callable, trained_run: Path, tmp_path: Path, name: str
) -> None:
    message = refused("generate", trained_run, "--prompts", tmp_path / name)
    assert message.startswith(f"{tmp_path / name} cannot be read: ")


def test_generate_json_is_json_whatever_the_model_writes(call: Callable, trained_run: Path) -> None:
    done = call("generate", trained_run, 'a "quoted" \\ prompt', "--unknown", "warn", "--json", "--length", 5)
    assert json.loads(done.out)["completions"][0]["prompt"] == 'a "quoted" \\ prompt'


def test_generate_says_that_a_stop_string_is_never_written(call: Callable, trained_run: Path) -> None:
    done = call("generate", trained_run, "oh my", "--length", 5, "--stop", "§ END")
    assert done.status == 0
    assert done.err == "charflow: note: the model never writes '§': --stop '§ END' ends no text.\n"
    assert call("generate", trained_run, "oh my", "--length", 5, "--stop", "MY DEARS").err == ""
