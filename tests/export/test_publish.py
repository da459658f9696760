"""Numbers of versions, and that a failed export leaves nothing behind."""

import errno
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from charflow.export.publish import export_run
from charflow.model.decoding.settings import Limits, SamplingSettings
from charflow.pipeline.errors import UserError
from charflow.serving.layout import SERVER_FILES

CONFIGS = ["batching.config", "models.config", "monitoring.config"]


@pytest.fixture
def export(trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Exports without the slow parts: TensorFlow writes a graph of no bytes, and the card is empty."""

    def save(servable: tf.Module, folder: str, signatures: dict) -> None:
        Path(folder).mkdir()
        (Path(folder) / "saved_model.pb").touch()

    monkeypatch.setattr("tensorflow.saved_model.save", save)
    monkeypatch.setattr("charflow.export.publish.make_model_card", lambda *_, **__: {})
    return lambda base, **options: export_run(trained_run, base, **options)


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_export_run_writes_a_whole_version(plain: Path) -> None:
    assert plain.name == "1"
    assert everything_in(plain.parent) == [
        "1",
        "1/assets",
        "1/assets.extra",
        "1/assets.extra/model_card.json",
        "1/assets.extra/tf_serving_warmup_requests",
        "1/assets/vocabulary.txt",
        "1/fingerprint.pb",
        "1/saved_model.pb",
        "1/variables",
        "1/variables/variables.data-00000-of-00001",
        "1/variables/variables.index",
        *CONFIGS,
    ]


def test_export_run_ships_the_vocabulary_of_the_run(plain: Path, trained_run: Path) -> None:
    assert (plain / "assets" / "vocabulary.txt").read_bytes() == (trained_run / "vocabulary.txt").read_bytes()


def test_export_run_does_not_touch_the_run(export: Callable[..., Path], trained_run: Path, tmp_path: Path) -> None:
    before = everything_in(trained_run)
    export(tmp_path / "model")
    assert everything_in(trained_run) == before


@pytest.mark.parametrize(
    ("there", "next_number"),
    [([], "1"), (["1"], "2"), (["2", "10", "9"], "11"), ([".4-123", ".staging"], "1"), (["3", ".7-123"], "4")],
    ids=["new", "one", "highest by number", "hidden leftovers", "hidden above"],
)
def test_export_run_takes_the_next_number(
    export: Callable[..., Path], tmp_path: Path, there: list[str], next_number: str
) -> None:
    for name in there:
        (tmp_path / "model" / name).mkdir(parents=True)
    version = export(tmp_path / "model")
    assert version == tmp_path / "model" / next_number
    assert sorted(child.name for child in version.parent.iterdir()) == sorted([*there, next_number, *CONFIGS])


def test_export_run_takes_an_explicit_number_and_goes_on_from_it(export: Callable[..., Path], tmp_path: Path) -> None:
    assert export(tmp_path / "model", version=1700000000).name == "1700000000"
    assert export(tmp_path / "model", version=5).name == "5"
    assert export(tmp_path / "model").name == "1700000001"


def test_export_run_makes_the_folders_above(export: Callable[..., Path], tmp_path: Path) -> None:
    assert export(tmp_path / "models" / "a").parent == tmp_path / "models" / "a"


@pytest.mark.parametrize("name", SERVER_FILES)
def test_export_run_keeps_what_the_user_has_in_a_server_file(
    export: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    export(tmp_path)
    (tmp_path / name).write_text("mine")
    assert export(tmp_path).name == "2"
    assert (tmp_path / name).read_text() == "mine"


def test_export_run_refuses_a_folder_that_is_named_like_a_server_file(
    export: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "models.config").mkdir()
    with pytest.raises(UserError, match=r"holds something other than model versions \(models.config\)"):
        export(tmp_path)


def test_version_stays_when_a_server_file_cannot_be_written(
    export: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise UserError("models.config cannot be written: No space left on device.")

    with monkeypatch.context() as full:
        full.setattr("charflow.export.publish.write_server_configs", fail)
        with pytest.raises(UserError) as error:
            export(tmp_path)
    assert str(error.value) == (
        "Version 1 is exported and whole, but models.config cannot be written: No space left on device. "
        "The next export tries again."
    )
    assert [child.name for child in tmp_path.iterdir()] == ["1"]
    assert export(tmp_path).name == "2"
    assert sorted(child.name for child in tmp_path.iterdir()) == ["1", "2", *CONFIGS]


@pytest.mark.parametrize("base", [".", "../model", "new"], ids=["here", "by way of above", "below"])
def test_export_run_names_the_model_by_its_base_folder(
    export: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: str
) -> None:
    names = []
    monkeypatch.setattr("charflow.export.publish.write_warmup", lambda *_, model_name, **__: names.append(model_name))
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    export(base)
    assert names == ["new" if base == "new" else "model"]


def test_export_run_refuses_a_version_that_exists(export: Callable[..., Path], tmp_path: Path) -> None:
    base = tmp_path / "model"
    export(base)
    before = everything_in(base)
    with pytest.raises(UserError) as error:
        export(base, version=1)
    assert str(error.value) == f"{base} already has version 1: leave version out for the next number."
    assert everything_in(base) == before


@pytest.mark.parametrize("version", [0, -3])
def test_export_run_refuses_a_number_below_one(export: Callable[..., Path], tmp_path: Path, version: int) -> None:
    with pytest.raises(UserError, match=f"^version must be at least 1, not {version}\\.$"):
        export(tmp_path / "model", version=version)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("names", "first"),
    [(["notes.txt"], "notes.txt"), (["1", "README"], "README"), (["b/", "a/"], "a"), (["1", "v2/"], "v2")],
    ids=["file", "file beside a version", "folders", "folder beside a version"],
)
def test_export_run_refuses_a_base_that_holds_something_else(
    export: Callable[..., Path], tmp_path: Path, names: list[str], first: str
) -> None:
    for name in names:
        path = tmp_path / name
        if name.endswith("/") or name.isdecimal():
            path.mkdir()
        else:
            path.touch()
    before = everything_in(tmp_path)
    with pytest.raises(UserError) as error:
        export(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} holds something other than model versions ({first}): name another folder, or empty this one."
    )
    assert everything_in(tmp_path) == before


def test_export_run_refuses_a_file_that_is_named_like_a_version(export: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "1").touch()
    with pytest.raises(UserError, match=r"holds something other than model versions \(1\)"):
        export(tmp_path)


def test_export_run_refuses_a_base_that_is_a_file(export: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("mine")
    with pytest.raises(UserError) as error:
        export(file)
    assert str(error.value) == f"{file} is a file: name a folder for the model's versions."
    assert file.read_text() == "mine"


def test_export_run_refuses_a_version_as_base(export: Callable[..., Path], tmp_path: Path) -> None:
    version = export(tmp_path / "model")
    with pytest.raises(UserError) as error:
        export(version)
    assert str(error.value) == f"{version} is itself a SavedModel: name the folder above its version number."


@pytest.mark.parametrize(
    ("limits", "length", "message"),
    [
        (
            Limits(4096, 99),
            100,
            "max_chars is 100, over the longest completion, 99: lower it or raise completion_chars.",
        ),
    ],
    ids=["length over the limit"],
)
def test_export_run_refuses_settings_outside_the_limits(
    export: Callable[..., Path], tmp_path: Path, limits: Limits, length: int, message: str
) -> None:
    with pytest.raises(UserError) as error:
        export(tmp_path / "model", limits=limits, settings=SamplingSettings(max_chars=length))
    assert str(error.value) == message
    assert not (tmp_path / "model").exists()


def test_export_run_refuses_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        export_run(tmp_path, tmp_path / "model")
    assert str(error.value) == f"{tmp_path} holds no run: it has no config.toml. Make one with charflow train."
    assert not (tmp_path / "model").exists()


NO_ROOM = OSError(errno.ENOSPC, "No space left on device")
FAILURES = {
    "os": (NO_ROOM, UserError),
    "tensorflow": (tf.errors.ResourceExhaustedError(None, None, "No space left on device\nmore"), UserError),
    "ctrl-c": (KeyboardInterrupt(), KeyboardInterrupt),
}


@pytest.mark.parametrize("cause", FAILURES)
@pytest.mark.parametrize("there", [[], ["3"]], ids=["new base", "base with a version"])
def test_failed_save_leaves_nothing_behind(
    export: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cause: str, there: list[str]
) -> None:
    raised, expected = FAILURES[cause]
    base = tmp_path / "model"
    for name in there:
        (base / name).mkdir(parents=True)

    def save_half(servable: tf.Module, folder: str, signatures: dict) -> None:
        (Path(folder) / "variables").mkdir(parents=True)
        raise raised

    monkeypatch.setattr("tensorflow.saved_model.save", save_half)
    with pytest.raises(expected) as error:
        export(base)
    if expected is UserError:
        number = "4" if there else "1"
        assert str(error.value).startswith(f"Version {number} could not be written to {base}: ")
        assert str(error.value).endswith("No space left on device.")
    assert everything_in(tmp_path) == (["model", "model/3"] if there else [])


def test_failed_warm_up_file_leaves_nothing_behind(
    export: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: Any) -> None:
        raise NO_ROOM

    monkeypatch.setattr("charflow.export.publish.write_warmup", fail)
    with pytest.raises(UserError, match="could not be written"):
        export(tmp_path / "model")
    assert everything_in(tmp_path) == []


@pytest.mark.parametrize("n_bytes", [1000, 50_000], ids=["at the weights", "at the graph"])
def test_full_disk_leaves_nothing_behind(trained_run: Path, tmp_path: Path, n_bytes: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))  # no file may grow larger
    try:
        with pytest.raises(UserError, match=r"^Version 1 could not be written to .*File too large"):
            export_run(trained_run, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert everything_in(tmp_path) == []


def test_version_is_complete_when_it_can_be_seen(
    export: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    visible = []

    def look(*_: object, **__: Any) -> None:
        visible.append([child.name for child in tmp_path.iterdir() if not child.name.startswith(".")])

    monkeypatch.setattr("charflow.export.publish.write_warmup", look)
    export(tmp_path)
    assert visible == [[]]
    assert sorted(child.name for child in tmp_path.iterdir()) == ["1", *CONFIGS]


def test_export_run_does_not_overwrite_a_version_that_appears_meanwhile(
    export: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def somebody_is_faster(*_: object, **__: Any) -> None:
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "saved_model.pb").write_text("theirs")

    monkeypatch.setattr("charflow.export.publish.write_warmup", somebody_is_faster)
    with pytest.raises(UserError, match=r"^Version 1 could not be written to .*: .*not empty"):
        export(tmp_path)
    assert everything_in(tmp_path) == ["1", "1/saved_model.pb"]
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "theirs"
