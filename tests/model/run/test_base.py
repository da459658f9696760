"""What another run can start from, and what it must keep."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from charflow.model.config import Config, NetworkConfig
from charflow.model.network.network import Network
from charflow.model.run.base import Base, base_of, fixed_vocabulary
from charflow.model.run.checkpoints import Checkpoints
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.corpus.corpus import Corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import SettingError, UserError
from charflow.pipeline.tables import override
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import Vocabulary

CONFIG = Config(
    network=NetworkConfig(units=4, dropout=0.3),
    corpus=CorpusSettings(held_out_by="person", min_count=2, text=TextSettings(ends=True)),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_corpus: Callable[..., Corpus]) -> Path:
    """A run whose weights are a draw; not to be changed."""
    run_dir, corpus = RunDir(tmp_path_factory.mktemp("runs") / "base"), make_corpus("abcd")
    run_dir.create(CONFIG, corpus)
    network = Network(CONFIG.network, corpus.vocabulary.size, targets="all", seed=3)
    Checkpoints(run_dir.checkpoints, network.model).save_best(7)
    return run_dir.path


def weights_of(base: Base, units: int = 4) -> list:
    network = Network(NetworkConfig(units=units), base.vocabulary.size, targets="all", seed=0)
    base.load_into(network)
    return [weight.tolist() for weight in network.model.get_weights()]


def test_base_gives_its_weights_and_what_goes_with_them(made: Path) -> None:
    base = Base(made)
    drawn = Network(CONFIG.network, base.vocabulary.size, targets="all", seed=3)
    assert weights_of(base) == [weight.tolist() for weight in drawn.model.get_weights()]
    own = override(Config(), {"network": {"dropout": 0.5}, "corpus": {"users": ["mira"]}})
    config = base.under(own)
    assert config.network == replace(CONFIG.network, dropout=0.5)
    assert config.corpus == replace(CONFIG.corpus, users=("mira",))
    base.check(config, Vocabulary("abcd"))


def test_base_fingerprint_is_that_of_weights_and_vocabulary(made: Path, tmp_path: Path) -> None:
    same = shutil.copytree(made, tmp_path / "same")
    assert Base(same).fingerprint == Base(made).fingerprint
    (same / "vocabulary.txt").write_text("a\nb\nc\nz\n")
    other = shutil.copytree(made, tmp_path / "other")
    network = Network(CONFIG.network, 5, targets="all", seed=4)
    Checkpoints(other / "checkpoints", network.model).save_best(7)
    assert len({Base(folder).fingerprint for folder in (made, same, other)}) == 3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"network": {"units": 5}}, "units"),
        ({"network": {"cell": "gru", "layers": 2}}, "cell and layers"),
        ({"corpus": {"text": {"ends": False}}}, "ends"),
        ({"corpus": {"text": {"reply": True}}}, "reply"),
        ({"corpus": {"held_out": 0.2, "held_out_by": "messages"}}, "held_out and held_out_by"),
        ({"corpus": {"held_out": 0.05, "min_count": 3}}, "min_count"),
        ({"corpus": {"min_count": 3, "text": {"lowercase": False}}}, "min_count and lowercase"),
    ],
    ids=str,
)
def test_base_refuses_other_settings_by_their_names(changes: dict, named: str, made: Path) -> None:
    base = Base(made)
    with pytest.raises(SettingError) as refused:
        base.check(override(base.under(Config()), changes), base.vocabulary)
    assert str(refused.value) == (
        f"{made} was trained with other settings: leave {named} out, or start from another run."
    )


def test_base_may_have_held_more_out(made: Path) -> None:
    base = Base(made)
    base.check(override(base.under(Config()), {"corpus": {"held_out": 0.05}}), base.vocabulary)


def test_base_refuses_a_part_of_the_messages_and_another_vocabulary(made: Path) -> None:
    base = Base(made)
    with pytest.raises(SettingError, match=r"^start_from takes all messages, .* were learned: leave fraction out\.$"):
        base.check(override(base.under(Config()), {"corpus": {"fraction": 0.5}}), base.vocabulary)
    with pytest.raises(UserError, match=r"^The text is not read in the vocabulary of \S+/base: read it in that one\.$"):
        base.check(base.under(Config()), Vocabulary("abc"))


def test_base_refuses_what_is_no_run_or_has_no_weights(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no run: it has no config\.toml"):
        Base(tmp_path / "none")
    young = shutil.copytree(made, tmp_path / "young")
    shutil.rmtree(young / "checkpoints")
    with pytest.raises(UserError, match=r"holds no checkpoint: the run was stopped before its first save\.$"):
        Base(young)


@pytest.mark.parametrize("wrong", ["another shape", "a flipped file"])
def test_base_refuses_weights_that_the_network_cannot_take(wrong: str, made: Path, tmp_path: Path) -> None:
    own = shutil.copytree(made, tmp_path / "own")
    if wrong == "a flipped file":
        (data,) = (own / "checkpoints" / "best").glob("*.data-*")
        data.write_bytes(b"")
    with pytest.raises(UserError, match=rf"^The weights of {own} are damaged, or of another version of charflow: "):
        weights_of(Base(own), units=4 if wrong == "a flipped file" else 6)


def test_base_of_a_run_is_there_while_it_is_what_it_was(made: Path, tmp_path: Path, make_corpus: Callable) -> None:
    gone, run = shutil.copytree(made, tmp_path / "gone"), RunDir(tmp_path / "run")
    own = {"training": {"start_from": str(gone), "base_fingerprint": Base(gone).fingerprint}}
    run.create(override(CONFIG, own), make_corpus("abcd"))
    assert base_of(run).run_dir.path == gone
    assert fixed_vocabulary(run) == Vocabulary("abcd")
    (gone / "vocabulary.txt").write_text("a\nb\nc\nz\n")
    assert base_of(run) is None
    shutil.rmtree(gone)
    assert base_of(run) is None
    assert base_of(RunDir(made)) is fixed_vocabulary(RunDir(made)) is None
