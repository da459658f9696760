"""Writes the command that serves from the image of TensorFlow Serving.

`backends` runs it. Inside the container the server has its usual ports, which Docker publishes, and sees every path
under the name it has outside, read-only: so the configuration file of the models is used as it is, and can be polled.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from charflow.serving.errors import UsageError
from charflow.serving.settings.configs import read_model_config
from charflow.serving.settings.flag_parser import model_server_arguments
from charflow.serving.settings.flags import FLAGS, ServerFlags, check_base_path, check_served

IMAGE = "tensorflow/serving:latest"
_PORTS = {"port": 8500, "rest_api_port": 8501}
# Mounting one of these would hide the image's own.
_OF_THE_IMAGE = {"/", "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var"} | {
    f"/usr/{folder}" for folder in ("bin", "lib", "lib64", "local", "sbin", "share")
}


def docker_command(given: Mapping[str, Any]) -> list[str]:
    """Writes the command line.

    A model that is added to the configuration file later is seen if its folder lies in one that was mounted.

    Args:
        given: the flags that were given, by name; `--host` says where the ports are published.

    Raises:
        UsageError: a path that cannot be mounted, or a flag that does not work across the border of a container.

    >>> docker_command({"rest_api_port": 0, "version": True})[-4:]
    ['tensorflow/serving:latest', '--rest_api_port=0', '--version=true', '--port=8500']
    """
    if given.get("grpc_socket_path"):
        raise UsageError("--grpc_socket_path does not reach out of a container: take another --backend.")
    inside = {name: value for name, value in given.items() if name != "host"}
    options = []
    for name, port in _PORTS.items():
        if outside := given.get(name, getattr(ServerFlags, name)):
            options += ["-p", f"{_publishable(given.get('host', ServerFlags.host))}:{outside}:{port}"]
            inside[name] = port
    mounts = {}  # a place can be mounted only once
    for name, path in _paths(given):
        if name in given:
            inside[name] = str(_absolute(path))
        place = _mountable(name, path, given)
        mounts[place] = f"type=bind,source={place},target={place},readonly"
    for mount in mounts.values():
        options += ["--mount", mount]
    # The image's own entry point is a shell, which would keep the signals from the server; --init passes them on.
    run = ["docker", "run", "--rm", "--init", "--entrypoint", "tensorflow_model_server"]
    return [*run, *options, IMAGE, *model_server_arguments(inside)]


def _publishable(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _paths(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Lists what must be mounted: the flag, or the model in the configuration file, and its path."""
    config_file, base_path = given.get("model_config_file", ""), given.get("model_base_path", "")
    if not given.get("version"):
        check_served(config_file, base_path)
    for flag in FLAGS:
        if flag.path and given.get(flag.name) and flag.name != "model_base_path":
            yield flag.name, given[flag.name]
    served = {"model_base_path": base_path}
    if config_file:
        models = read_model_config(config_file).model_config_list.config
        served = {f"model_config_file: base path of model {model.name}": model.base_path for model in models}
    for name, path in served.items():
        if path and "://" not in path:
            check_base_path(path, of=f"--{name}")
            yield name, path


def _mountable(name: str, path: str, given: Mapping[str, Any]) -> str:
    place = _absolute(path)
    if not place.exists():
        raise UsageError(f"--{name}: {path} does not exist, and Docker can only mount what does.")
    if name == "model_config_file" and given.get("model_config_file_poll_wait_seconds"):
        place = place.parent  # a file that is mounted itself stays the old one when an editor replaces it
    if str(place) in _OF_THE_IMAGE:
        raise UsageError(f"--{name}: mounting {place} would hide the container's own: take another folder.")
    if set(',"') & set(str(place)):
        raise UsageError(f"--{name}: Docker cannot mount {place}, whose name has a comma or a quotation mark.")
    return str(place)


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow symbolic links: the names must stay
