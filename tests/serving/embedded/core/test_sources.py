"""Configurations that can be read or not, and the version folders they find."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from charflow.serving import errors
from charflow.serving.embedded.core.sources import ModelSource, NoVersionsError, find_versions, read_sources


def config(*models: str) -> ModelServerConfig:
    """Each model is written without its braces."""
    listed = " ".join(f"config {{ {model} }}" for model in models)
    return text_format.Parse(f"model_config_list {{ {listed} }}", ModelServerConfig())


def model(name: str = "m", path: str = "/m", rest: str = "") -> str:
    return f'name: "{name}" base_path: "{path}" model_platform: "tensorflow" {rest}'


@pytest.mark.parametrize(
    ("policy", "latest", "specific"),
    [
        ("", 1, ()),
        ("model_version_policy {}", 1, ()),
        ("model_version_policy { latest {} }", 1, ()),
        ("model_version_policy { latest { num_versions: 3 } }", 3, ()),
        ("model_version_policy { all {} }", None, ()),
        ("model_version_policy { specific { versions: 4 versions: 2 } }", None, (4, 2)),
    ],
    ids=["none", "empty", "latest", "latest 3", "all", "specific"],
)
def test_read_sources_reads_the_version_policy(policy: str, latest: int | None, specific: tuple[int, ...]) -> None:
    labels = 'version_labels { key: "stable" value: 4 }'
    (source,) = read_sources(config(model(rest=f"{policy} {labels}"))).values()
    assert (source.name, source.base_path, source.labels) == ("m", "/m", {"stable": 4})
    assert (source.latest, source.specific) == (latest, specific)


@pytest.mark.parametrize("path", ["/m", "gs://bucket/m", "file:///m", "ram://m"])
def test_read_sources_takes_absolute_paths(path: str) -> None:
    assert read_sources(config(model(path=path)))["m"].base_path == path


def test_read_sources_takes_the_deprecated_type_and_an_empty_list() -> None:
    assert list(read_sources(config('name: "m" base_path: "/m" model_type: TENSORFLOW'))) == ["m"]
    assert read_sources(config()) == {}


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([model(), model(path="/n")], "Illegal to list model m multiple times in config list"),
        ([model(name="")], "A model in the config list has no name"),
        ([model(path="m")], "Expected model m to have an absolute path or URI; got base_path()=m"),
        ([model(path="./m")], "Expected model m to have an absolute path or URI; got base_path()=./m"),
        ([model(path="")], "Expected model m to have an absolute path or URI; got base_path()="),
        (
            ['name: "m" base_path: "/m"'],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (
            [model(rest="model_type: TENSORFLOW")],
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (['name: "m" base_path: "/m" model_platform: "pytorch"'], "Model m requests unsupported platform pytorch"),
        (
            [model(rest="model_version_policy { specific {} }")],
            "The version policy of model m is specific but names no version",
        ),
    ],
    ids=["twice", "no name", "relative", "dot", "no path", "no platform", "two platforms", "pytorch", "no version"],
)
def test_read_sources_refuses(models: list[str], message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        read_sources(config(*models))
    assert caught.value.message == message


def test_read_sources_refuses_a_file_system_that_is_not_built_in() -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        read_sources(config(model(path="nosuch://bucket/m")))
    assert "m is at nosuch://bucket/m, and this TensorFlow has no file system for nosuch://" in caught.value.message
    assert caught.value.message.endswith(": mount the models, and give their absolute path")


def test_read_sources_refuses_a_custom_config() -> None:
    custom = text_format.Parse("custom_model_config {}", ModelServerConfig())
    with pytest.raises(errors.InvalidArgument, match="custom_model_config is not supported: use model_config_list"):
        read_sources(custom)


def source(path: Path, latest: int | None = None, specific: tuple[int, ...] = ()) -> ModelSource:
    return ModelSource(name="m", base_path=str(path), latest=latest, specific=specific, labels={})


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("1", "2", "00000123", "10", "v3", "4a", "-5", "1.5", "٣", "9" * 30, "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("no folder")
    return tmp_path


@pytest.mark.parametrize(
    ("latest", "specific", "expected"),
    [
        (None, (), [1, 2, 10, 123]),
        (1, (), [123]),
        (2, (), [10, 123]),
        (9, (), [1, 2, 10, 123]),
        (None, (2, 10, 11), [2, 10]),
    ],
    ids=["all", "latest", "latest 2", "latest 9", "specific"],
)
def test_find_versions_follows_the_policy(
    latest: int | None, specific: tuple[int, ...], expected: list[int], base: Path
) -> None:
    found = find_versions(source(base, latest, specific))
    assert sorted(found) == expected


def test_find_versions_gives_folders_as_they_are_named(base: Path) -> None:
    for written in (base, f"{base}/"):
        found = find_versions(source(written, latest=2))
        assert found == {10: f"{base}/10", 123: f"{base}/00000123"}


def why_none(wanted: ModelSource) -> tuple[str, bool]:
    with pytest.raises(NoVersionsError) as caught:
        find_versions(wanted)
    return str(caught.value), caught.value.read


def test_find_versions_says_why_there_is_none(tmp_path: Path, base: Path) -> None:
    """And whether the base path was read: only then are the versions that are served from it gone."""
    policy = "has no version to serve: it has 1, 2, 10, 123, and the version policy asks for 11, 12"
    assert why_none(source(base, None, (11, 12))) == (policy, True)
    empty = base / "tmp"
    assert why_none(source(empty)) == (
        "has no version to serve: versions are folders whose names are integers",
        True,
    )
    (empty / "saved_model.pb").write_text("")
    assert why_none(source(empty)) == (
        "has no version to serve: it is a version itself, and the base path is the folder above",
        True,
    )
    assert why_none(source(base / "7")) == ("is no folder", False)
    assert why_none(source(tmp_path / "nothing")) == ("does not exist", False)
    long, _ = why_none(source(tmp_path / ("x" * 300)))
    assert long.startswith("cannot be read (")
