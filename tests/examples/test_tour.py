"""The notebook: it goes through from its first cell to its last, and is committed without what they printed."""

import sys
from pathlib import Path

import pytest

from tests.support import ROOT

nbformat = pytest.importorskip("nbformat", reason="pip install nbclient ipykernel")
nbclient = pytest.importorskip("nbclient", reason="pip install nbclient ipykernel")
TOUR = ROOT / "examples" / "tour.ipynb"


def test_the_notebook_is_committed_without_outputs() -> None:
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


@pytest.mark.slow
def test_the_notebook_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUR_FOLDER", str(tmp_path))
    monkeypatch.setenv("TOUR_STEPS", "40")
    notebook = nbformat.read(TOUR, as_version=4)
    nbclient.NotebookClient(notebook, kernel_name=_kernel(tmp_path, monkeypatch), timeout=120).execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    assert "4,000 rows; pandas has 4,000" in printed
    assert "held-out bits per character" in printed
    assert "one CPU: " in printed


def _kernel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kernel of this environment's Python, whichever others the user has installed."""
    from ipykernel.kernelspec import write_kernel_spec

    write_kernel_spec(str(folder / "kernels" / "tour"), overrides={"argv": _argv()})
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    return "tour"


def _argv() -> list[str]:
    return [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
