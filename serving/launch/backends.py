"""Chooses what serves, and starts it: tensorflow_model_server, its Docker image, or the embedded server.

`charflow serve` gives the flags; `child` runs the first two, `model_server` the third.
"""

import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from charflow.serving.errors import UsageError
from charflow.serving.launch.child import run_child
from charflow.serving.launch.docker import docker_command
from charflow.serving.launch.model_server import serve_embedded
from charflow.serving.ready import Doors, print_ready
from charflow.serving.settings.configs import read_model_config
from charflow.serving.settings.flag_parser import model_server_arguments
from charflow.serving.settings.flags import VERSION, ServerFlags

SERVER = "tensorflow_model_server"
BACKENDS = ("tensorflow-serving", "docker", "embedded")
_ENGINE_PATIENCE = 20.0  # seconds; an engine that sleeps takes some to answer


def choose_backend(name: str) -> tuple[str, str]:
    """Finds the back end to use and says why.

    Args:
        name: one of `BACKENDS`, or "auto" for the first of them that is there.

    Returns:
        the back end, and the reason as a clause.

    Raises:
        UsageError: there is no back end of this name, or the one asked for is not there.
    """
    if name not in ("auto", *BACKENDS):
        raise UsageError(f"There is no back end {name!r}: --backend takes auto, {', '.join(BACKENDS)}.")
    server = shutil.which(SERVER)
    if name == "embedded":
        return name, "--backend asks for it"
    if server and name != "docker":
        return "tensorflow-serving", f"{SERVER} is {server}"
    if name == "tensorflow-serving":
        raise UsageError(f"No {SERVER} is on the PATH: install it, or take --backend docker or embedded.")
    missing = _missing_docker()
    if missing and name == "docker":
        raise UsageError(f"--backend docker: {missing}; start Docker, or take --backend embedded.")
    if missing:
        return "embedded", f"no {SERVER} is on the PATH, and {missing}"
    return "docker", "--backend asks for it" if name == "docker" else f"no {SERVER} is on the PATH, but Docker runs"


def start(backend: str, given: Mapping[str, Any]) -> int:
    """Serves until a signal ends it, and returns the exit status.

    Args:
        backend: one of `BACKENDS`.
        given: the flags that were given, by name, as `parse_flags` returns them.

    Raises:
        UsageError: a flag that the back end does not take, or a file that cannot be read.
    """
    if backend == "embedded":
        return serve_embedded(given)
    command = docker_command(given) if backend == "docker" else tensorflow_serving_command(given)
    if given.get(VERSION.name):
        return subprocess.run(command, check=False).returncode
    doors = _doors(given, "127.0.0.1" if backend == "docker" else "0.0.0.0")
    doors.refuse_taken()

    def announce() -> None:
        print_ready(doors.grpc_address, doors.rest_address, doors.models)

    return run_child(command, is_ready=doors.are_open, announce=announce)


def tensorflow_serving_command(given: Mapping[str, Any]) -> list[str]:
    """Writes the command line of tensorflow_model_server.

    >>> tensorflow_serving_command({"port": 1, "host": "0.0.0.0"})
    ['tensorflow_model_server', '--port=1']
    """
    flags = dict(given)
    if flags.pop("host", "0.0.0.0") != "0.0.0.0":
        raise UsageError(
            f"{SERVER} listens on every address and knows no --host: leave it out, or take another --backend."
        )
    return [SERVER, *model_server_arguments(flags)]


def _doors(given: Mapping[str, Any], host: str) -> Doors:
    config_file = given.get("model_config_file")
    names = [given.get("model_name", ServerFlags.model_name)]
    if config_file:
        names = [model.name for model in read_model_config(config_file).model_config_list.config]
    return Doors(
        host=given.get("host", host),
        port=given.get("port", ServerFlags.port),
        grpc_socket_path=given.get("grpc_socket_path", ""),
        rest_api_port=given["rest_api_port"],
        tls=bool(given.get("ssl_config_file")),
        models=[name for name in names if name],
    )


def _missing_docker() -> str:
    """Says what Docker lacks, nothing if it can run images."""
    if not shutil.which("docker"):
        return "no docker is there"
    try:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            check=False,
            timeout=_ENGINE_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return "the engine of Docker does not answer"
    return "the engine of Docker does not run" if asked.returncode else ""
