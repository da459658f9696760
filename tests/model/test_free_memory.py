"""What is free, from the files that say so; and the refusal in a process that may not take more."""

import subprocess
import sys
from pathlib import Path

import pytest

from charflow.model import free_memory as module
from charflow.model.free_memory import free_memory, refuse_beyond_memory
from charflow.pipeline.errors import UserError

MEMINFO = "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n"
V2 = {"memory.max": "5000000\n", "memory.current": "4000000\n", "memory.stat": "anon 1\ninactive_file 500000\n"}
V1 = {
    "memory.limit_in_bytes": "3000000\n",
    "memory.usage_in_bytes": "2900000\n",
    "memory.stat": "inactive_file 1\ntotal_inactive_file 100000\n",
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of a machine with 8,192,000 free bytes, and of no container."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
    monkeypatch.setattr(module, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(module, "_CGROUPS", tmp_path / "cgroup")
    return tmp_path


def contain(machine: Path, cgroup: str, folder: str, files: dict[str, str]) -> None:
    (machine / "proc" / "self" / "cgroup").write_text(cgroup)
    (machine / "cgroup" / folder).mkdir(parents=True)
    for name, content in files.items():
        (machine / "cgroup" / folder / name).write_text(content)


def test_free_memory_is_the_machine_s(machine: Path) -> None:
    assert free_memory() == 8000 * 1024


@pytest.mark.parametrize(
    ("cgroup", "folder", "files", "free"),
    [
        ("0::/pod/app\n", "pod/app", V2, 1_500_000),
        ("0::/pod/app\n", "pod", V2, 1_500_000),
        ("0::/\n", "", V2, 1_500_000),
        ("5:cpu:/pod\n4:memory:/pod\n", "memory/pod", V1, 200_000),
        ("4:memory:/elsewhere\n", "memory", V1, 200_000),
        ("0::/pod\n", "pod", {**V2, "memory.max": "max\n"}, 8000 * 1024),
        ("0::/pod\n", "pod", {**V2, "memory.current": "6000000\n", "memory.stat": ""}, 0),
    ],
    ids=["v2", "v2 above", "v2 at the root", "v1", "v1 seen from inside", "no limit", "over the limit"],
)
def test_free_memory_is_the_container_s(machine: Path, cgroup: str, folder: str, files: dict, free: int) -> None:
    contain(machine, cgroup, folder, files)
    assert free_memory() == free


def test_free_memory_is_unknown_without_linux_s_files(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PROC", tmp_path / "none")
    assert free_memory() is None
    refuse_beyond_memory(1 << 60, "It needs")


def test_what_needs_more_than_there_is_is_refused(machine: Path) -> None:
    refuse_beyond_memory(8000 * 1024, "A step needs", "{units}")
    with pytest.raises(UserError) as error:
        refuse_beyond_memory(8000 * 1024 + 1, "A step needs", "{units}")
    assert str(error.value) == "A step needs about 8.2 MB of memory, and 8.2 MB are free: lower units."


def test_limit_of_the_process_counts() -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30));"
        "from charflow.model.free_memory import free_memory; print(free_memory())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 1 << 30
