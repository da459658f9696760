"""The runs of a folder as the models of one server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from charflow.export.people import People
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.errors import UserError
from charflow.serving.layout import MODELS


@pytest.fixture
def people(people_runs: Path, tmp_path: Path) -> People:
    some = tmp_path / "runs"
    some.mkdir()
    (some / "ada").symlink_to(people_runs / "ada")
    (some / "Söng & Co").symlink_to(people_runs / "bo")
    return People(some, tmp_path / "models")


@pytest.fixture
def _exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports nothing but the folder of the next version; what is in there is `test_publish`'s."""

    def export_run(run: RunDir, base: Path, *, verify: Callable[[Path], None] | None, **settings: Any) -> Path:
        assert run.config_file.exists()
        version = base / str(1 + len(list(base.glob("*"))))
        version.mkdir(parents=True)
        if verify:
            verify(version)
        return version

    monkeypatch.setattr("charflow.export.people.export_run", export_run)


@pytest.mark.usefixtures("_exported")
def test_export_makes_each_run_a_model_of_one_server(people: People) -> None:
    checked: list[Path] = []
    exported = list(people.export(verify=checked.append))
    names = [version.parent.name for _, version in exported]
    assert [run.path.name for run, _ in exported] == ["Söng & Co", "ada"]
    assert (names[0][:8], names[1]) == ("song-co-", "ada")
    assert len(checked) == 2
    config = text_format.Parse((people.base / MODELS).read_text("utf-8"), model_server_config_pb2.ModelServerConfig())
    served = [(model.name, model.base_path) for model in config.model_config_list.config]
    assert served == [(name, str(people.base / name)) for name in names]
    assert not people.unnamed

    own = 'model_config_list { config { name: "ada" base_path: "/models/ada" model_platform: "tensorflow" } }'
    (people.base / MODELS).write_text(own)
    assert [version.name for _, version in people.export()] == ["2", "2"]
    assert (people.base / MODELS).read_text() == own
    assert people.unnamed == [names[0]]


def test_people_need_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no runs in it: make them with charflow train --each-user"):
        People(tmp_path, tmp_path / "models")
