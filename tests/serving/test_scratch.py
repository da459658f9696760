"""Files for a moment, and TensorFlow, where no folder can be written to."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from charflow.serving.scratch import scratch_file


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files in memory")
def test_scratch_file_is_in_memory_and_opens_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with scratch_file() as file:
        file.write(b"secret")
        file.flush()
        name = Path(file.name)
        assert name.read_bytes() == b"secret"
    assert not name.exists()


def test_tensorflow_loads_where_no_folder_can_be_written_to() -> None:
    """As in a container whose root file system is read-only; its import asks for a temporary folder."""
    script = (
        "import tempfile\n"
        "tempfile._candidate_tempdir_list = lambda: ['/nowhere']\n"
        "from charflow.cli.terminal.tensorflow_log import load_tensorflow\n"
        "load_tensorflow()\n"
        "import tensorflow\n"
        "print('loaded')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "loaded\n"), done.stderr
