"""The table of flags, its values and their rules."""

import math
from typing import Any

import pytest

from charflow.serving.errors import UsageError
from charflow.serving.settings.flags import FLAGS, LARGEST_MESSAGE, ServerFlags

# Every flag of tensorflow_model_server (model_servers/main.cc) with its default (server.h).
REAL = {
    "port": 8500,
    "grpc_socket_path": "",
    "rest_api_port": 0,
    "rest_api_num_threads": 0,  # four per CPU there; here the embedded server chooses
    "rest_api_timeout_in_ms": 30000,
    "rest_api_enable_cors_support": False,
    "enable_batching": False,
    "allow_version_labels_for_unavailable_models": False,
    "batching_parameters_file": "",
    "enable_per_model_batching_parameters": False,
    "model_config_file": "",
    "model_config_file_poll_wait_seconds": 0,
    "model_name": "default",
    "model_base_path": "",
    "num_load_threads": 0,
    "num_unload_threads": 0,
    "max_num_load_retries": 5,
    "load_retry_interval_micros": 60_000_000,
    "file_system_poll_wait_seconds": 1,
    "flush_filesystem_caches": True,
    "tensorflow_session_parallelism": 0,
    "tensorflow_session_config_file": "",
    "tensorflow_intra_op_parallelism": 0,
    "tensorflow_inter_op_parallelism": 0,
    "use_alts_credentials": False,
    "ssl_config_file": "",
    "platform_config_file": "",
    "per_process_gpu_memory_fraction": 0.0,
    "saved_model_tags": "serve",
    "grpc_channel_arguments": "",
    "grpc_max_threads": 0,  # four per CPU there; here the embedded server chooses
    "enable_model_warmup": True,
    "num_request_iterations_for_warmup": 0,
    "version": False,
    "monitoring_config_file": "",
    "remove_unused_fields_from_bundle_metagraph": True,
    "prefer_tflite_model": False,
    "num_tflite_pools": 0,  # one per CPU there
    "num_tflite_interpreters_per_pool": 1,
    "enable_signature_method_name_check": False,
    "xla_cpu_compilation_enabled": False,
    "xla_gpu_compilation_enabled": False,
    "enable_profiler": True,
    "thread_pool_factory_config_file": "",
    "mixed_precision": "",
    "skip_initialize_tpu": False,
    "enable_grpc_healthcheck_service": False,
    "enable_serialization_as_tensor_content": False,
}
OURS = {
    "host": "127.0.0.1",
    "playground": False,
    "openai_completions": False,
    "max_request_bytes": LARGEST_MESSAGE,
    "max_connections": 0,
    "shutdown_grace_seconds": 25,
    "max_queued_requests": 1024,
}


def flags(**changes: Any) -> ServerFlags:
    return ServerFlags(**{"model_base_path": "/models/a", **changes})


# --- the table


def test_table_has_every_flag_of_tensorflow_model_server() -> None:
    assert {flag.name: flag.default for flag in FLAGS if not flag.ours} == REAL
    assert {flag.name: flag.default for flag in FLAGS if flag.ours} == OURS


def test_table_types_are_those_of_the_defaults() -> None:
    assert {flag.name: type(flag.default) for flag in FLAGS} == {
        name: type(default) for name, default in {**REAL, **OURS}.items()
    }


def test_flags_that_take_a_path_are_known() -> None:
    files = {name for name in REAL if name.endswith("_file")}
    assert {flag.name for flag in FLAGS if flag.path} == files | {"model_base_path"}


# --- values and rules


def test_server_flags_have_the_defaults_of_the_table() -> None:
    made = flags()
    honoured = [flag for flag in FLAGS if flag.embedded and flag.name not in ("version", "model_base_path")]
    assert {flag.name: getattr(made, flag.name) for flag in honoured} == {flag.name: flag.default for flag in honoured}


def test_configuration_file_wins_over_the_base_path() -> None:
    assert flags(model_config_file="models.config", model_base_path="relative").model_base_path == "relative"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": 70000}, "--port must be between 0 and 65535, not 70000."),
        ({"rest_api_port": -1}, "--rest_api_port must be between 0 and 65535, not -1."),
        (
            {"rest_api_port": 8500},
            "--port and --rest_api_port are both 8500: give one of them another number.",
        ),
        ({"port": 0}, "There is nothing to listen on: give --port or --grpc_socket_path."),
        ({"host": ""}, "--host is empty: give an address, such as 127.0.0.1, or 0.0.0.0 for every one."),
        ({"model_base_path": ""}, "There is nothing to serve: give --model_base_path or --model_config_file."),
        (
            {"model_base_path": "models/a"},
            "--model_base_path must be an absolute path, not 'models/a': give $PWD/models/a.",
        ),
        (
            {"model_base_path": "./models/my a/"},
            "--model_base_path must be an absolute path, not './models/my a/': give \"$PWD/models/my a\".",
        ),
        (
            {"model_base_path": "~/models/a"},  # the shell expands no ~ after an equals sign
            "--model_base_path must be an absolute path, not '~/models/a': give $HOME/models/a.",
        ),
        ({"rest_api_timeout_in_ms": 2**31}, f"--rest_api_timeout_in_ms must be at most {2**31 - 1}, not {2**31}."),
        (
            {"tensorflow_intra_op_parallelism": 10**12},
            "--tensorflow_intra_op_parallelism must be between 0 and 4096, not 1000000000000.",
        ),
        ({"rest_api_timeout_in_ms": -1}, "--rest_api_timeout_in_ms must be at least 0, not -1."),
        ({"file_system_poll_wait_seconds": -1}, "--file_system_poll_wait_seconds must be at least 0, not -1."),
        ({"max_num_load_retries": -2}, "--max_num_load_retries must be at least 0, not -2."),
        ({"max_request_bytes": 0}, "--max_request_bytes must be between 1 and 2147483647, not 0."),
        ({"max_request_bytes": 2**31}, "--max_request_bytes must be between 1 and 2147483647, not 2147483648."),
        (
            {"per_process_gpu_memory_fraction": 1.5},
            "--per_process_gpu_memory_fraction must be between 0 and 1, not 1.5.",
        ),
        (
            {"per_process_gpu_memory_fraction": math.nan},
            "--per_process_gpu_memory_fraction must be between 0 and 1, not nan.",
        ),
        ({"playground": True}, "--playground needs --rest_api_port."),
        ({"openai_completions": True}, "--openai_completions needs --rest_api_port."),
        ({"batching_parameters_file": "/b"}, "--batching_parameters_file needs --enable_batching."),
        (
            {
                "tensorflow_session_parallelism": 1,
                "tensorflow_intra_op_parallelism": 1,
                "tensorflow_inter_op_parallelism": 1,
            },
            "--tensorflow_session_parallelism sets what --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism set: give it or the two.",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_value_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        flags(**changes)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "changes",
    [
        {"model_base_path": "gs://bucket/a"},
        {"port": 0, "grpc_socket_path": "a.sock"},
        {"load_retry_interval_micros": -1},
        {"rest_api_timeout_in_ms": 0},
        {"model_name": ""},
        {"port": 0, "grpc_socket_path": "a.sock", "rest_api_port": 0},
    ],
    ids=["base-path-is-a-uri", "socket-alone", "no-wait-between-loads", "no-timeout", "no-name", "no-port-at-all"],
)
def test_value_that_tensorflow_model_server_takes_is_taken(changes: dict) -> None:
    made = flags(**changes)
    assert {name: getattr(made, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("session", "intra", "inter", "expected"),
    [(0, 0, 0, (0, 0)), (3, 0, 0, (3, 3)), (0, 1, 2, (1, 2)), (0, 0, 2, (0, 2)), (3, 1, 0, (1, 0))],
    ids=["automatic", "session", "both", "inter-alone", "session-silenced"],
)
def test_parallelism_combines_as_in_tensorflow_serving(
    session: int, intra: int, inter: int, expected: tuple[int, int]
) -> None:
    made = flags(
        tensorflow_session_parallelism=session,
        tensorflow_intra_op_parallelism=intra,
        tensorflow_inter_op_parallelism=inter,
    )
    assert made.parallelism == expected
