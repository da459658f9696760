"""TensorFlow's start-up messages are shown only where its start fails."""

import os

import pytest

from charflow.cli.app import run


def start_that_ends_in(error: BaseException):
    def list_devices(*_: object) -> None:
        os.write(2, b"I0000 chatter of the C++ runtime\n")
        raise error

    return list_devices


def test_failed_start_shows_what_tensorflow_said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", start_that_ends_in(RuntimeError("no devices")))
    with pytest.raises(RuntimeError, match="no devices"):
        run(["explore", "chat.csv"])
    assert capfd.readouterr().err == "I0000 chatter of the C++ runtime\n"


def test_interrupted_start_is_quiet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", start_that_ends_in(KeyboardInterrupt()))
    assert run(["explore", "chat.csv"]) == 130
    assert capfd.readouterr().err == "charflow: interrupted.\n"


def test_good_start_is_quiet_and_gives_standard_error_back(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(
        "tensorflow.config.list_physical_devices",
        lambda *_: [None][os.write(2, b"I0000 chatter of the C++ runtime\n") :],
    )
    assert run(["explore", "missing.csv"]) == 2
    os.write(2, b"mine\n")
    assert capfd.readouterr().err == "charflow: missing.csv: no such file.\nmine\n"
