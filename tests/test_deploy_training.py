"""deploy/training: what can be checked without a cluster, with stand-ins for srun, scontrol and charflow."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

DEPLOY = ROOT / "deploy" / "training"
SBATCH = DEPLOY / "charflow.sbatch"


def tfjob_and_claim() -> list[Any]:
    yaml = pytest.importorskip("yaml", reason="install PyYAML to read the YAML files")
    return list(yaml.safe_load_all((DEPLOY / "tfjob.yaml").read_text(encoding="utf-8")))


def worker() -> Any:
    return tfjob_and_claim()[0]["spec"]["tfReplicaSpecs"]["Worker"]


def container() -> Any:
    (only,) = worker()["template"]["spec"]["containers"]
    return only


def directives() -> dict[str, str]:
    words = [line.split()[1] for line in SBATCH.read_text().splitlines() if line.startswith("#SBATCH ")]
    return {name: value for name, _, value in (word.partition("=") for word in words)}


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """A folder of programs that print how they were called; srun ends with $STATUS."""
    for name, end in (("srun", 'exit "${STATUS:-0}"'), ("scontrol", ""), ("charflow", "")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "{name} $* wait=$CHARFLOW_JOIN_TIMEOUT"\n{end}\n')
        program.chmod(0o755)
    return program.parent


def sbatch(stand_ins: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess:
    env = {"PATH": f"{stand_ins}:{os.environ['PATH']}", "SLURM_JOB_ID": "42", **environ}
    return subprocess.run(["bash", str(SBATCH), *arguments], capture_output=True, text=True, env=env)


def test_sbatch_is_valid_bash() -> None:
    done = subprocess.run(["bash", "-n", str(SBATCH)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_sbatch_asks_for_several_nodes_and_to_be_queued_again() -> None:
    asked = directives()
    assert int(asked["--nodes"]) > 1
    assert asked["--ntasks-per-node"] == "1"  # one port a node
    assert asked["--signal"] == "TERM@60"  # without B: the workers get it
    assert {"--requeue", "--open-mode"} <= set(asked)


def test_sbatch_directives_stand_before_the_first_command() -> None:
    lines = SBATCH.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert lines[0] == "#!/bin/bash"
    assert not any(line.startswith("#SBATCH") for line in lines[first:])


def test_sbatch_begins_a_run(stand_ins: Path, tmp_path: Path) -> None:
    done = sbatch(stand_ins, "a b.csv", str(tmp_path / "run"), "--epochs", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"srun --kill-on-bad-exit=1 --label charflow train a b.csv --out {tmp_path}/run --strategy multi-worker "
        "--epochs 3 wait=300\n"
    )


def test_sbatch_resumes_a_run_without_the_options_it_began_with(stand_ins: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    done = sbatch(stand_ins, "a.csv", str(tmp_path), "--preset", "tutorial", CHARFLOW_JOIN_TIMEOUT="9")
    assert done.stdout.endswith(f"train a.csv --out {tmp_path} --strategy multi-worker --resume wait=9\n")


@pytest.mark.parametrize("status", [1, 137, 143])
def test_sbatch_queues_again_what_did_not_end_by_itself(stand_ins: Path, status: int) -> None:
    done = sbatch(stand_ins, "a.csv", "run", STATUS=str(status))
    assert done.stdout.splitlines()[-1].startswith("scontrol requeue 42")
    assert done.stderr == f"charflow.sbatch: status {status}; the job is queued again and resumes run.\n"


@pytest.mark.parametrize("status", [0, 2, 130])
def test_sbatch_ends_with_a_run_or_a_mistake(stand_ins: Path, status: int) -> None:
    done = sbatch(stand_ins, "a.csv", "run", STATUS=str(status))
    assert done.returncode == status
    assert "scontrol" not in done.stdout


def test_sbatch_gives_up_after_the_last_restart(stand_ins: Path) -> None:
    done = sbatch(stand_ins, "a.csv", "run", STATUS="137", SLURM_RESTART_COUNT="3", CHARFLOW_MAX_RESTARTS="3")
    assert done.returncode == 137
    assert "scontrol" not in done.stdout
    assert done.stderr.startswith("charflow.sbatch: status 137 after 3 restarts;")


def test_sbatch_outlives_the_signal_that_the_workers_get(stand_ins: Path) -> None:
    (stand_ins / "srun").write_text("#!/bin/sh\nkill -TERM $PPID\nsleep 0.2\nexit 143\n")
    assert sbatch(stand_ins, "a.csv", "run").stdout.startswith("scontrol requeue 42")


def test_sbatch_says_what_it_needs(stand_ins: Path) -> None:
    done = sbatch(stand_ins, "a.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("charflow.sbatch: name the data and the run: sbatch charflow.sbatch DATA RUN")


def test_tfjob_has_what_the_operator_looks_for() -> None:
    job = tfjob_and_claim()[0]
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert set(job["spec"]) == {"runPolicy", "tfReplicaSpecs"}
    assert set(job["spec"]["runPolicy"]) <= {"activeDeadlineSeconds", "backoffLimit", "cleanPodPolicy"}
    assert set(job["spec"]["tfReplicaSpecs"]) == {"Worker"}
    assert set(worker()) == {"replicas", "restartPolicy", "template"}
    assert worker()["replicas"] > 1
    assert worker()["restartPolicy"] == "ExitCode"
    assert container()["name"] == "tensorflow"
    assert container()["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
    assert "TF_CONFIG" not in {variable["name"] for variable in container()["env"]}


def test_tfjob_pod_and_claim_fit_the_schema_of_kubernetes() -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="install kubernetes-validate to check them")
    template = worker()["template"]
    schemas.validate({"apiVersion": "v1", "kind": "Pod", **template}, "1.33", strict=True)
    schemas.validate(tfjob_and_claim()[1], "1.33", strict=True)


def test_tfjob_mounts_what_the_command_names() -> None:
    (volume,) = worker()["template"]["spec"]["volumes"]
    claim = tfjob_and_claim()[1]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (mount,) = container()["volumeMounts"]
    environ = {variable["name"]: variable["value"] for variable in container()["env"]}
    assert mount["name"] == volume["name"]
    assert all(environ[name].startswith(f"{mount['mountPath']}/") for name in ("DATA", "RUN"))


@pytest.mark.parametrize(("resumed", "option"), [(False, "--preset=default"), (True, "--resume")])
def test_tfjob_runs_the_command(stand_ins: Path, tmp_path: Path, resumed: bool, option: str) -> None:
    if resumed:
        (tmp_path / "config.toml").touch()
    env = {"PATH": f"{stand_ins}:{os.environ['PATH']}", "DATA": "a b.csv", "RUN": str(tmp_path)}
    command = [*container()["command"], *container()["args"]]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.stdout == f"charflow train a b.csv --out {tmp_path} --strategy multi-worker {option} wait=\n"


def test_readme_names_every_file() -> None:
    readme = (DEPLOY / "README.md").read_text()
    assert all(f"`{path.name}`" in readme for path in DEPLOY.iterdir() if path.name != "README.md")
