"""Configuration files: what is read, and how a bad one is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import Message

from charflow.serving.errors import UsageError
from charflow.serving.settings import configs

READERS: dict[Callable[[str], Message], tuple[str, str, str]] = {
    configs.read_model_config: (
        "model_config_file",
        "tensorflow.serving.ModelServerConfig",
        'model_config_list { config { name: "a" base_path: "/m/a" model_platform: "tensorflow"\n'
        "  model_version_policy { specific { versions: 3 } } version_labels { key: 'stable' value: 3 } } }",
    ),
    configs.read_batching_parameters: (
        "batching_parameters_file",
        "tensorflow.serving.BatchingParameters",
        "max_batch_size { value: 8 }  # comment\nallowed_batch_sizes: 2\nallowed_batch_sizes: 8",
    ),
    configs.read_monitoring_config: (
        "monitoring_config_file",
        "tensorflow.serving.MonitoringConfig",
        'prometheus_config { enable: true, path: "/metrics" }',
    ),
    configs.read_ssl_config: (
        "ssl_config_file",
        "tensorflow.serving.SSLConfig",
        'server_key: "-----BEGIN\\nkey" server_cert: "cert" client_verify: true',
    ),
    configs.read_session_config: (
        "tensorflow_session_config_file",
        "tensorflow.ConfigProto",
        "intra_op_parallelism_threads: 3",
    ),
}
by_reader = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], str]:
    def written(content: str | bytes) -> str:
        path = tmp_path / "file.config"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


def message_of(read: Callable[[str], object], path: str) -> str:
    with pytest.raises(UsageError) as refusal:
        read(path)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@by_reader
def test_file_is_read(read: Callable[[str], Message], written: Callable) -> None:
    _, name, text = READERS[read]
    proto = read(written(text))
    assert proto.DESCRIPTOR.full_name == name
    assert proto.ListFields()
    assert read(written("")) == type(proto)()


def test_values_are_those_of_the_file(written: Callable) -> None:
    model = configs.read_model_config(written(READERS[configs.read_model_config][2])).model_config_list.config[0]
    assert (model.name, model.base_path, model.version_labels["stable"]) == ("a", "/m/a", 3)
    batching = configs.read_batching_parameters(written(READERS[configs.read_batching_parameters][2]))
    assert batching.max_batch_size.value == 8
    assert batching.HasField("batch_timeout_micros") is False
    assert list(batching.allowed_batch_sizes) == [2, 8]
    assert configs.read_ssl_config(written(READERS[configs.read_ssl_config][2])).server_key == "-----BEGIN\nkey"
    assert configs.read_session_config(written("intra_op_parallelism_threads: 3")).intra_op_parallelism_threads == 3


@by_reader
def test_missing_file_is_refused(read: Callable[[str], Message]) -> None:
    assert message_of(read, "/no/such.config") == (
        f"--{READERS[read][0]}: /no/such.config cannot be read: No such file or directory."
    )


@by_reader
@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("bogus: 1", 'has no field named "bogus".'),
        ("\n\n  this is no proto", '3:3 : Message type "{name}" has no field named "this".'),
        (b"\xff\xfe", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte."),
        ("{", "1:1 : '{{': Expected identifier or number, got {{."),
    ],
    ids=["unknown-field", "prose", "not-utf-8", "cut-short"],
)
def test_file_that_does_not_parse_is_refused(
    read: Callable[[str], Message], written: Callable, content: str | bytes, found: str
) -> None:
    _, name, _ = READERS[read]
    path = written(content)
    message = message_of(read, path)
    assert message.startswith(f"Invalid protobuf file: '{path}': Error parsing text-format {name}: ")
    assert message.endswith(found.format(name=name))


def test_string_that_is_not_utf_8_is_refused(written: Callable) -> None:
    assert "Error parsing text-format tensorflow.serving.SSLConfig: 1:19 : " in message_of(
        configs.read_ssl_config, written('server_key: "\\377"')
    )


def test_folder_is_refused(tmp_path: Path) -> None:
    assert message_of(configs.read_model_config, str(tmp_path)) == (
        f"--model_config_file: {tmp_path} cannot be read: Is a directory."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("grpc.max_connection_age_ms=2000", [("grpc.max_connection_age_ms", 2000)]),
        ("a=-1,b=x", [("a", -1), ("b", "x")]),
        (" a = 1 , b = c=d ", [("a", 1), ("b", "c=d")]),
        ("a=2147483648,b=", [("a", "2147483648"), ("b", "")]),
    ],
    ids=["none", "number", "number-and-text", "spaces-and-equals-sign", "too-large-for-a-number-and-empty"],
)
def test_channel_arguments_are_split(text: str, expected: list) -> None:
    assert configs.parse_channel_arguments(text) == expected


@pytest.mark.parametrize(
    ("text", "part"), [("a", "a"), ("a=1,,b=2", ""), ("=1", "=1")], ids=["bare", "empty", "no-name"]
)
def test_channel_argument_without_name_or_value_is_refused(text: str, part: str) -> None:
    assert message_of(configs.parse_channel_arguments, text) == (
        f"--grpc_channel_arguments: {part!r} is not name=value."
    )
