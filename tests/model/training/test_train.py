"""`charflow.model.train`: data and settings in, a run out; and the Keras model of a run."""

import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from charflow.model import Generator, RunDir, load_keras, train
from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.generator import load_network
from charflow.pipeline.errors import UserError

SMALL: dict[str, Any] = {"units": 8, "window_length": 8, "batch_size": 8, "evaluations": 1, "cached": False}


class Listener:
    """Counts steps, and presses Ctrl-C after some of them if it is told to."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.steps, self._interrupt_at = 0, interrupt_at

    def advanced(self, report: Any) -> None:
        self.steps = report.step
        if self._interrupt_at and report.step >= self._interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, sample_chat: str) -> RunDir:
    config = tmp_path_factory.mktemp("settings") / "run.toml"
    config.write_text("[training]\nsteps = 9\nseed = 3\n[corpus]\nheld_out = 0.2\n", encoding="utf-8")
    out = tmp_path_factory.mktemp("runs") / "a"
    return train(sample_chat, out, config=config, users="mira", steps=6, memory="person", memory_order=2, **SMALL)


def test_settings_of_every_table_reach_the_run(run: RunDir) -> None:
    config, _ = run.load()
    assert (config.corpus.users, config.corpus.held_out, config.network.units) == (("mira",), 0.2, 8)
    assert (config.training.steps, config.training.seed, config.training.memory) == (6, 3, "person")
    assert run.read_result()["step"] == 6
    assert Generator.load(run.path).generate("oh ", max_chars=4)[0].length <= 4


def test_a_run_is_stopped_and_goes_on(
    sample_chat: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _no_texts: None
) -> None:
    monkeypatch.setattr("charflow.model.training.timetable._MOST_STEPS_PER_CALL", 1)
    out, listener = tmp_path / "a", Listener()
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted after step \d; resume goes on from there$"):
        train([sample_chat], out, users=["mira"], steps=6, listener=Listener(interrupt_at=2), **SMALL)
    with pytest.raises(UserError, match="already holds a run"):
        train(sample_chat, out, users="mira", steps=6, **SMALL)
    again = train(sample_chat, out, resume=True, steps=7, listener=listener, cached=False)
    assert (again.read_result()["step"], listener.steps) == (7, 7)


def test_a_listener_has_the_methods_that_it_wants(sample_chat: str, tmp_path: Path, _no_texts: None) -> None:
    class Rows:
        def __init__(self) -> None:
            self.told: list[Any] = []

        def planned(self, plan: Any) -> None:
            self.told.append(plan.batch_size)

        def evaluated(self, row: dict[str, Any]) -> None:
            self.told.append(row["step"])

    rows = Rows()
    run = train(sample_chat, tmp_path / "a", users="mira", steps=4, listener=rows, **SMALL)
    assert rows.told == [8, *(row["step"] for row in run.read_metrics())]
    assert rows.told[-1] == 4


def test_a_listener_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^The listener has none of the methods planned, resumed, .*, sampled: give it "
    ):
        train("chat.csv", tmp_path / "a", steps=1, listener="mlflow")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unit": 8}, "There is no setting 'unit'. Did you mean units?"),
        ({"units": 0}, "units must be at least 1, not 0."),
        ({"preset": "none"}, "Unknown preset 'none': use default or tutorial."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_settings_are_refused_in_a_sentence(
    settings: dict[str, Any], message: str, sample_chat: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        train(sample_chat, tmp_path / "a", **settings)
    assert str(refused.value) == message


def test_a_setting_like_no_other_is_refused_with_all_there_are(sample_chat: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no setting 'x'\. Settings are: batch_size, .*, window_shift"):
        train(sample_chat, tmp_path / "a", x=1)


def test_the_keras_model_is_the_network_and_keras_alone_loads_it(run: RunDir, tmp_path: Path) -> None:
    ids = run.load()[1].encode("oh my dears")[np.newaxis].astype(np.int32)
    load_keras(run.path).save(tmp_path / "a.keras")
    logits = keras.models.load_model(tmp_path / "a.keras")(ids)
    np.testing.assert_array_equal(logits, load_keras(run)(ids))
    alone = make_decoder(load_network(run), "stream", 8)
    state = alone.context.pack(alone.context.zero_state(1))
    for char_id, expected in zip(ids[0], logits[0].numpy(), strict=True):
        found, state = alone.step(tf.constant([char_id]), state)
        np.testing.assert_allclose(found[0, 1:], expected[1:], atol=1e-5)  # `[UNK]` is never written
