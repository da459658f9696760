"""How file descriptors are shared out, in processes that have few."""

import subprocess
import sys

SHARE = "from charflow.serving.embedded.descriptors import connections_per_door as share; "


def run(work: str, limit: str) -> tuple[str, str]:
    command = f'ulimit -n {limit}; exec "$0" -c "$1"'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, SHARE + work], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip(), done.stderr.strip()


def test_few_descriptors_are_shared_out_and_told() -> None:
    found, said = run("print(share(0, 2), share(100, 1), share(5000, 1))", "192")
    two, hundred, many = map(int, found.split())
    assert 40 < two < 64
    assert hundred == 100
    assert 2 * two <= many < 128
    limit = "The limit of 192 open files (ulimit -n) leaves"
    first, second = said.splitlines()
    assert first.startswith(f"{limit} {two} connections for each port; 1024 need ")
    assert second.startswith(f"{limit} {many} connections for each port; 5000 need ")


def test_soft_limit_is_raised_as_far_as_needed() -> None:
    work = "import resource; print(share(300, 2), resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 664)"
    assert run(work, "-S 256") == ("300 True", "")
