"""The friendly face: alone, in a batch, in chunks, from a run folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from charflow.model.config import Config, NetworkConfig, TrainingConfig
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.settings import SamplingSettings
from charflow.model.decoding.text_model import Completions
from charflow.model.network.network import Network
from charflow.model.run.checkpoints import Checkpoints
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.errors import UserError
from charflow.pipeline.vocabulary import Vocabulary

LONG = 600  # characters: three chunks
SPELLS_CAB = {" ": {"c": 1}, "c": {"a": 1}, "a": {"b": 1}, "b": {" ": 1}, "?": {"b": 1}}


@pytest.fixture(scope="module")
def cab(make_chain: Callable, make_generator: Callable) -> Generator:
    return make_generator(make_chain(" abc", SPELLS_CAB), " abc")


@pytest.fixture(scope="module", params=["stream", "window"])
def random_generator(request: pytest.FixtureRequest, make_network: Callable, make_generator: Callable) -> Generator:
    return make_generator(make_network("lstm", 2), " abc", context=request.param)


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory, make_network: Callable, make_corpus: Callable) -> Path:
    """A run folder whose best weights are those of `make_network`, and whose latest are others."""
    config = Config(
        network=NetworkConfig(units=6, layers=2, dropout=0.0),
        training=TrainingConfig(steps=1, window_length=4, targets="next"),
    )
    run_dir = RunDir(tmp_path_factory.mktemp("runs") / "a")
    run_dir.create(config, make_corpus(" abc"))
    Checkpoints(run_dir.checkpoints, make_network("lstm", 2).model).save_best(3)
    Checkpoints(run_dir.checkpoints, Network(config.network, 5, targets="next", seed=9).model).save_latest(5)
    return run_dir.path


def texts(generator: Generator, prompts: str | list[str], **settings) -> list[str]:
    return [row.text for row in generator.generate(prompts, **settings)]


@pytest.mark.slow
def test_generate_spells_what_the_weights_say(cab: Generator) -> None:
    (row,) = cab.generate("c", max_chars=7, temperature=1.0)
    assert (row.text, row.length, row.finish_reason) == ("ab cab ", 7, "length")
    assert row.log_prob == pytest.approx(0, abs=1e-4)


@pytest.mark.slow
def test_generate_of_an_empty_prompt_begins_a_message(cab: Generator) -> None:
    assert texts(cab, "", max_chars=4) == ["cab "]


@pytest.mark.slow
def test_generate_by_xla_writes_what_the_graph_writes(run_path: Path) -> None:
    """Each row with a setting of its own kind, whole and piece by piece, over more than one call of XLA."""
    graph, xla = Generator.load(run_path), Generator.load(run_path, xla=True)
    for settings in ({"max_chars": LONG, "temperature": 0.8}, {"max_chars": 30, "stop": "a"}, {"top_k": 2}):
        assert texts(xla, ["c", "ab"], seed=5, **settings) == texts(graph, ["c", "ab"], seed=5, **settings)
    given = {"max_chars": LONG, "temperature": 1.0, "seed": 7}
    assert "".join(xla.stream("ca", **given)) == texts(graph, "ca", **given)[0]


@pytest.mark.slow
def test_generate_normalises_the_prompt(cab: Generator) -> None:
    assert texts(cab, ["CA", "ca"], max_chars=4) == ["b ca", "b ca"]
    assert cab.normalise("CaÉ") == "caé"


@pytest.mark.slow
def test_generate_goes_on_after_unknown_characters(cab: Generator) -> None:
    assert texts(cab, "ca☃", max_chars=5) == ["b cab"]
    assert cab.unknown_chars("Ca☃Ж☃b") == ["☃", "Ж"]
    assert cab.unknown_chars("CAB") == []


@pytest.mark.slow
def test_generate_computes_on_the_cpu_wherever_a_gpu_is(cab: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    complete, devices = cab.text_model.complete, []

    def noting(*arguments: tf.Tensor, **how: bool) -> Completions:
        devices.append(tf.identity(0.0).device)
        return complete(*arguments, **how)

    monkeypatch.setattr(cab.text_model, "complete", noting)
    assert texts(Generator(cab.text_model, cab.vocabulary), "c", max_chars=3) == ["ab "]
    assert set(devices) == {"/device:CPU:0"}


def test_generate_of_no_prompts_is_no_texts(cab: Generator) -> None:
    assert cab.generate([]) == []


@pytest.mark.slow
def test_generate_of_no_characters_is_an_empty_text(random_generator: Generator) -> None:
    for filters in ({}, {"top_k": 2, "stop": "a"}):
        (row,) = random_generator.generate("a", max_chars=0, **filters)
        assert (row.text, row.length, row.log_prob, row.finish_reason) == ("", 0, 0.0, "length")


@pytest.mark.slow
def test_generate_in_a_batch_gives_row_i_the_seed_plus_i(random_generator: Generator) -> None:
    prompts = ["a", "cab c", "", "bb", "a"]
    together = texts(random_generator, prompts, seed=5, max_chars=40, temperature=1.0)
    alone = [
        texts(random_generator, prompt, seed=5 + i, max_chars=40, temperature=1.0)[0]
        for i, prompt in enumerate(prompts)
    ]
    assert together == alone
    assert together[0] != together[4]  # same prompt, another seed


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 1.0, "seed": 2}, {"top_k": 3, "top_p": 0.95, "temperature": 1.0, "seed": 2}],
    ids=["plain", "filtered"],
)
@pytest.mark.slow
def test_a_long_text_over_several_chunks_equals_its_beginnings(random_generator: Generator, settings: dict) -> None:
    (long,) = random_generator.generate("ab", max_chars=LONG, **settings)
    assert long.length == len(long.text) == LONG
    assert texts(random_generator, "ab", max_chars=200, **settings) == [long.text[:200]]
    pieces = list(random_generator.stream("ab", max_chars=LONG, **settings))
    assert len(pieces) > 3
    assert all(pieces)
    assert "".join(pieces) == long.text


@pytest.mark.slow
def test_log_prob_of_a_long_text_is_the_sum_over_its_chunks(random_generator: Generator) -> None:
    (long,) = random_generator.generate(" ", max_chars=LONG, temperature=1.0)
    _, log_probs, *_ = random_generator.text_model.score([long.text])
    assert long.log_prob == pytest.approx(float(log_probs.numpy().sum()), rel=1e-4)


@pytest.mark.slow
def test_same_seed_same_text_other_seed_other_text(random_generator: Generator) -> None:
    draw = lambda seed: texts(random_generator, "a", seed=seed, max_chars=50, temperature=1.0)  # noqa: E731
    assert draw(7) == draw(7)
    assert len({draw(seed)[0] for seed in (-(2**63), -1, 0, 7, 8, 2**63 - 1)}) == 6


@pytest.mark.slow
def test_seeds_of_a_batch_that_do_not_fit_are_refused(cab: Generator) -> None:
    assert texts(cab, ["c", "c"], seed=2**63 - 2, max_chars=3) == ["ab ", "ab "]
    with pytest.raises(UserError, match=rf"^seed must be at most {2**63 - 2:,} for 2 texts, of which each has "):
        texts(cab, ["c", "c"], seed=2**63 - 1, max_chars=3)


@pytest.mark.slow
def test_filters_beyond_the_vocabulary_are_off(random_generator: Generator) -> None:
    plain = texts(random_generator, "a", max_chars=20, temperature=1.0)
    assert texts(random_generator, "a", max_chars=20, temperature=1.0, top_k=2**31 - 1) == plain


def test_temperature_0_does_not_depend_on_the_seed(random_generator: Generator) -> None:
    assert texts(random_generator, "a", seed=1, temperature=0) == texts(random_generator, "a", seed=2, temperature=0)


def test_top_k_of_1_is_greedy(random_generator: Generator) -> None:
    assert texts(random_generator, "a", top_k=1, temperature=2.0) == texts(random_generator, "a", temperature=0)


def test_the_stop_string_ends_the_text_and_only_its_row(cab: Generator) -> None:
    rows = cab.generate(["c", "ca"], stop="b c", max_chars=9)
    assert [(row.text, row.finish_reason, row.length) for row in rows] == [("ab c", "stop", 4), ("b c", "stop", 3)]
    rows = cab.generate(["c", "ca"], stop="cab", max_chars=4)
    assert [(row.text, row.finish_reason) for row in rows] == [("ab c", "length"), ("b ca", "length")]


@pytest.mark.slow
def test_a_stop_string_may_span_two_chunks(random_generator: Generator) -> None:
    settings = {"temperature": 1.0, "seed": 2}
    (whole,) = texts(random_generator, "ab", max_chars=400, **settings)
    stop = whole[240:265]  # over the end of the first chunk, 256
    assert whole.index(stop) == 240
    (row,) = random_generator.generate("ab", max_chars=400, stop=stop, **settings)
    assert (row.text, row.finish_reason, row.length) == (whole[:265], "stop", 265)
    assert "".join(random_generator.stream("ab", max_chars=400, stop=stop, **settings)) == whole[:265]


@pytest.mark.slow
def test_a_row_that_stopped_stays_as_it_is_while_others_go_on(random_generator: Generator) -> None:
    settings = {"temperature": 1.0, "seed": 2, "max_chars": 300}
    whole = texts(random_generator, ["ab", "ab"], **settings)
    stop = whole[0][20:40]
    assert stop not in whole[1]
    rows = random_generator.generate(["ab", "ab"], stop=stop, **settings)
    assert [row.finish_reason for row in rows] == ["stop", "length"]
    assert [row.text for row in rows] == [whole[0][:40], whole[1]]


@pytest.mark.slow
@pytest.mark.parametrize("context", ["stream", "window"])
def test_load_takes_the_best_weights_of_a_run(
    run_path: Path, make_network: Callable, make_generator: Callable, context: str
) -> None:
    loaded = Generator.load(run_path, context=context)
    expected = make_generator(make_network("lstm", 2), " abc", context=context)
    settings = {"seed": 3, "temperature": 1.0, "max_chars": 60}
    assert texts(loaded, "ab", **settings) == texts(expected, "ab", **settings)
    assert loaded.vocabulary == Vocabulary(" abc")


@pytest.mark.slow
def test_load_of_a_moved_run_folder(run_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    moved = tmp_path / "elsewhere" / "b"
    moved.parent.mkdir()
    for file in run_path.rglob("*"):
        target = copy / file.relative_to(run_path)
        if file.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    copy.rename(moved)
    assert texts(Generator.load(str(moved)), "ab") == texts(Generator.load(run_path), "ab")


def test_load_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a holds no run: it has no config\.toml\. Make one with charflow train\.$"):
        Generator.load(tmp_path / "a")


def test_load_of_a_run_without_a_checkpoint_says_so(tmp_path: Path, make_corpus: Callable) -> None:
    RunDir(tmp_path / "a").create(Config(network=NetworkConfig(units=4)), make_corpus("ab"))
    with pytest.raises(UserError, match=r"holds no checkpoint: the run was stopped before its first save\.$"):
        Generator.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_chars": -1}, r"^max_chars must be at least 0, not -1\.$"),
        ({"temperature": -0.5}, r"^temperature must be at least 0, not -0\.5 \(0 is greedy\)\.$"),
        (
            {"temperature": float("nan")},
            r"^temperature must be a finite number of at least 0, not nan \(0 is greedy\)\.$",
        ),
        ({"top_k": -2}, r"^top_k must be at least 0, not -2 \(0 is off\)\.$"),
        ({"top_p": 0.0}, r"^top_p must be above 0 and at most 1, not 0 \(1 is off\)\.$"),
        ({"top_p": 1.5}, r"^top_p must be above 0 and at most 1, not 1\.5 \(1 is off\)\.$"),
        ({"top_p": float("nan")}, r"^top_p must be above 0 and at most 1, not nan \(1 is off\)\.$"),
        ({"stop": "x" * 33}, r"^stop has 33 characters; at most 32 are compared\.$"),
        ({"max_chars": 2**31}, r"^max_chars must be at most 2,147,483,647, not 2,147,483,648\.$"),
        ({"top_k": 2**31}, r"^top_k must be at most 2,147,483,647, not 2,147,483,648 \(0 is off\)\.$"),
        ({"seed": 2**63}, r"^seed must be at most 9,223,372,036,854,775,807, not 9,223,372,036,854,775,808\.$"),
        (
            {"seed": -(2**63) - 1},
            r"^seed must be at least -9,223,372,036,854,775,808, not -9,223,372,036,854,775,809\.$",
        ),
    ],
    ids=[
        "length",
        "temperature",
        "no number",
        "top-k",
        "top-p 0",
        "top-p over 1",
        "top-p no number",
        "stop",
        "length over 32 bits",
        "top-k over 32 bits",
        "seed",
        "low seed",
    ],
)
def test_sampling_settings_refuse(cab: Generator, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SamplingSettings(**settings)
    with pytest.raises(UserError, match=message):
        cab.generate("a", **settings)
    with pytest.raises(UserError, match=message):
        cab.stream("a", **settings)  # when called, not when the first piece is asked for


@pytest.mark.parametrize(
    "settings",
    [{"max_chars": 0}, {"temperature": 0}, {"top_k": 0}, {"top_p": 1.0}, {"stop": "x" * 32}, {"seed": 2**63 - 1}],
    ids=lambda settings: next(iter(settings)),
)
def test_sampling_settings_accept_their_bounds(settings: dict) -> None:
    (name,) = settings
    assert getattr(SamplingSettings(**settings), name) == settings[name]
