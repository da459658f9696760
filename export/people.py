"""Exports the runs of a folder as the models of one server: BASE/NAME/VERSION for each, and BASE/models.config for all.

`publish` exports each; a model is called as its run, as `safe_names` has it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charflow.export.publish import export_run
from charflow.export.server_configs import names_model, write_server_configs
from charflow.model.decoding.contexts import ContextKind
from charflow.model.decoding.settings import Limits, SamplingSettings
from charflow.model.network.network import forget_networks
from charflow.model.run.run_dir import RunDir, runs_in
from charflow.pipeline.safe_names import safe_name


@dataclass
class People:
    """The runs of a folder, and where their models go.

    Attributes:
        runs: them.
        base: the folder of the models.
        unnamed: models that a models.config which was there before does not name, when all are exported.

    Raises:
        UserError: the folder has no runs.
    """

    folder: Path
    base: Path
    runs: list[RunDir] = field(init=False)
    unnamed: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.runs = runs_in(self.folder)

    def export(
        self,
        *,
        settings: SamplingSettings | None = None,
        context: ContextKind = "stream",
        limits: Limits | None = None,
        xla: bool = False,
        verify: Callable[[Path], None] | None = None,
    ) -> Iterator[tuple[RunDir, Path]]:
        """Exports each run as the next version of its model; yields it and the version's folder.

        Raises:
            UserError: as `export_run`; those before are there.
        """
        models = {safe_name(run.path.name): run for run in self.runs}
        how: dict[str, Any] = {"settings": settings, "context": context, "limits": limits, "xla": xla}
        for name, run in models.items():
            yield run, export_run(run, self.base / name, verify=verify, **how)
            forget_networks()
        write_server_configs(self.base, {name: self.base / name for name in models})
        self.unnamed = [name for name in models if not names_model(self.base, name)]
