"""The command line that serves from the image of TensorFlow Serving."""

from itertools import pairwise
from pathlib import Path

import pytest

from charflow.serving.errors import UsageError
from charflow.serving.launch.docker import IMAGE, docker_command
from charflow.serving.settings.flag_parser import parse_flags


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "a"
    folder.mkdir(parents=True)
    return folder


def parse(*arguments: str) -> dict:
    return parse_flags(arguments, prog="charflow serve", rest_api_port=8501)


def values(command: list[str], option: str) -> list[str]:
    return [value for before, value in pairwise(command) if before == option]


def mounts(command: list[str]) -> list[str]:
    return [value.removeprefix("type=bind,source=").partition(",")[0] for value in values(command, "--mount")]


def test_docker_publishes_the_ports_and_mounts_the_model(model: Path) -> None:
    given = parse("--model_name=a", f"--model_base_path={model}/", "--port=9000", "--enable_batching")
    assert docker_command(given) == [
        *["docker", "run", "--rm", "--init", "--entrypoint", "tensorflow_model_server"],
        *["-p", "127.0.0.1:9000:8500", "-p", "127.0.0.1:8501:8501"],
        *["--mount", f"type=bind,source={model},target={model},readonly"],
        IMAGE,
        *["--rest_api_port=8501", "--model_name=a", f"--model_base_path={model}", "--port=8500"],
        "--enable_batching=true",
    ]


@pytest.mark.parametrize(
    ("arguments", "published"),
    [
        (["--rest_api_port=0"], ["127.0.0.1:8500:8500"]),
        (["--host=0.0.0.0"], ["0.0.0.0:8500:8500", "0.0.0.0:8501:8501"]),
        (["--host=::1"], ["[::1]:8500:8500", "[::1]:8501:8501"]),
        (["--rest_api_port=9001"], ["127.0.0.1:8500:8500", "127.0.0.1:9001:8501"]),
    ],
    ids=["no-rest", "every-address", "ipv6", "other-rest-port"],
)
def test_docker_publishes_the_doors_that_are_open(model: Path, arguments: list[str], published: list[str]) -> None:
    command = docker_command(parse(f"--model_base_path={model}", *arguments))
    assert values(command, "-p") == published
    assert not [argument for argument in command if argument.startswith("--host")]


def test_docker_mounts_every_file_and_the_models_of_the_configuration(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    models = "".join(f'config {{ name: "{n}" base_path: "{path}" }}\n' for n, path in (("a", model), ("b", other)))
    (tmp_path / "models.config").write_text(f"model_config_list {{ {models} }}")
    (tmp_path / "batching").write_text("")
    monkeypatch.chdir(tmp_path)
    command = docker_command(
        parse("--model_config_file=models.config", "--enable_batching", "--batching_parameters_file=./batching")
    )
    assert sorted(mounts(command)) == sorted(
        str(path) for path in (tmp_path / "models.config", tmp_path / "batching", model, other)
    )
    assert f"--model_config_file={tmp_path}/models.config" in command
    assert f"--batching_parameters_file={tmp_path}/batching" in command


def test_docker_mounts_the_folder_of_a_polled_configuration(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "models" / "models.config"
    file.write_text(f'model_config_list {{ config {{ name: "a" base_path: "{model}" }} }}')
    command = docker_command(parse(f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=5"))
    assert mounts(command) == [str(file.parent), str(model)]


def test_docker_mounts_a_folder_once(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "a" base_path: "{tmp_path}" }} '
        f'config {{ name: "b" base_path: "{tmp_path}/" }} }}'
    )
    assert mounts(docker_command(parse(f"--model_config_file={file}"))) == [str(file), str(tmp_path)]


def test_docker_leaves_a_uri_as_it_is() -> None:
    command = docker_command(parse("--model_base_path=gs://bucket/a"))
    assert mounts(command) == []
    assert command[-2] == "--model_base_path=gs://bucket/a"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is nothing to serve: give --model_base_path or --model_config_file."),
        (
            ["--model_base_path=models/a"],
            "--model_base_path must be an absolute path, not 'models/a': give $PWD/models/a.",
        ),
        (
            ["--model_base_path=/no/such"],
            "--model_base_path: /no/such does not exist, and Docker can only mount what does.",
        ),
        (
            ["--model_base_path=/usr/"],
            "--model_base_path: mounting /usr would hide the container's own: take another folder.",
        ),
        (
            ["--model_base_path={models}/a,b"],
            "--model_base_path: Docker cannot mount {models}/a,b, whose name has a comma or a quotation mark.",
        ),
        (
            ["--model_base_path={models}", "--ssl_config_file=/no/such"],
            "--ssl_config_file: /no/such does not exist, and Docker can only mount what does.",
        ),
        (
            ["--model_config_file={models}/relative.config"],
            "--model_config_file: base path of model a must be an absolute path, not 'a'.",
        ),
        (
            ["--model_base_path={models}", "--grpc_socket_path=/s"],
            "--grpc_socket_path does not reach out of a container: take another --backend.",
        ),
        (
            ["--model_base_path={models}", "--max_queued_requests=1"],
            "--max_queued_requests is only for the embedded server: leave it out, or take --backend embedded.",
        ),
    ],
    ids=[
        *["no-model", "relative", "missing", "system-folder", "comma", "missing-file", "relative-in-configuration"],
        *["socket", "flag-of-ours"],
    ],
)
def test_docker_refuses_what_it_cannot_pass_on(model: Path, arguments: list[str], message: str) -> None:
    models = model.parent
    (models / "a,b").mkdir()
    (models / "relative.config").write_text('model_config_list { config { name: "a" base_path: "a" } }')
    given = parse(*(argument.format(models=models) for argument in arguments))
    with pytest.raises(UsageError) as refusal:
        docker_command(given)
    assert str(refusal.value) == message.format(models=models)
