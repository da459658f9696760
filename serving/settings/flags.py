"""The flags of tensorflow_model_server, in one table.

`flag_parser` reads a command line by the table; the embedded server takes what it honours as `ServerFlags`. Names,
meanings and defaults are those of TensorFlow Serving (model_servers/main.cc, server.h), but for two numbers of threads,
where 0 lets the embedded server choose; those marked `ours` it does not know.
"""

import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from charflow.serving.errors import UsageError

Value = int | float | str | bool
T = TypeVar("T", int, float, str, bool)

LARGEST_INT = 2**31 - 1  # what tensorflow_model_server reads its numbers into
MOST_THREADS = 4096  # of a pool: TensorFlow starts them all at once
LARGEST_MESSAGE = 2**31 - 1  # bytes: the most that a proto, and so gRPC, can hold; TensorFlow Serving's limit too


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A flag.

    Attributes:
        name: without the dashes.
        default: its value when it is not given; its type is the flag's.
        help: a line for --help.
        embedded: the embedded server honours it.
        ours: tensorflow_model_server does not know it.
        path: it names a file or a folder that the server reads.
        least: smallest value allowed, if there is one.
        most: largest value allowed, if there is one.
    """

    name: str
    default: Value
    help: str
    embedded: bool = True
    ours: bool = False
    path: bool = False
    least: float | None = None
    most: float | None = None


def _flag(default: T, help: str, **properties: bool | float) -> T:
    return field(default=default, metadata={"help": help, **properties})


@dataclass(frozen=True, kw_only=True)
class ServerFlags:
    """Flags of the embedded server, checked.

    >>> ServerFlags(model_name="a", model_base_path="/models/a", rest_api_port=8501).port
    8500

    Raises:
        UsageError: a value out of its range, or flags that do not go together.
    """

    port: int = _flag(8500, "TCP port of gRPC; 0 is off.", least=0, most=65535)
    grpc_socket_path: str = _flag("", "UNIX socket of gRPC, besides the port.")
    rest_api_port: int = _flag(0, "TCP port of REST; 0 is off.", least=0, most=65535)
    host: str = _flag("127.0.0.1", "Address to listen on; 0.0.0.0 is every one.", ours=True)
    model_name: str = _flag("default", "Name of the model; not used with --model_config_file.")
    model_base_path: str = _flag("", "Absolute path of the folder of the model's versions.", path=True)
    model_config_file: str = _flag("", "Text ModelServerConfig: serve its models instead.", path=True)
    model_config_file_poll_wait_seconds: int = _flag(0, "How often to read it again; 0 is never.", least=0)
    file_system_poll_wait_seconds: int = _flag(1, "How often to look for new versions; 0 is never.", least=0)
    saved_model_tags: str = _flag("serve", "Tags of the graph to load, separated by commas.")
    max_num_load_retries: int = _flag(5, "How often to try loading again before giving up.", least=0)
    load_retry_interval_micros: int = _flag(
        60_000_000, "Time between them; below 0 is none.", least=-(2**63), most=10**15
    )
    allow_version_labels_for_unavailable_models: bool = _flag(False, "Accept labels of versions not loaded yet.")
    enable_model_warmup: bool = _flag(True, "Replay the model's warm-up file before it is available.")
    num_request_iterations_for_warmup: int = _flag(0, "How often to replay it; 0 is once.")
    enable_batching: bool = _flag(False, "Run requests of several callers together.")
    batching_parameters_file: str = _flag("", "Text BatchingParameters.", path=True)
    grpc_channel_arguments: str = _flag("", "Arguments of the gRPC server: name=value,name=value.")
    grpc_max_threads: int = _flag(0, "Threads of gRPC; 0 lets the server choose.", least=0, most=MOST_THREADS)
    enable_grpc_healthcheck_service: bool = _flag(False, "Offer the standard gRPC health service.")
    ssl_config_file: str = _flag("", "Text SSLConfig: gRPC over TLS.", path=True)
    enable_serialization_as_tensor_content: bool = _flag(False, "Answer Predict in tensor_content.")
    rest_api_num_threads: int = _flag(0, "Threads of REST; 0 lets the server choose.", least=0, most=MOST_THREADS)
    rest_api_timeout_in_ms: int = _flag(30_000, "Longest run of a REST call; 0 is no limit.", least=0)
    rest_api_enable_cors_support: bool = _flag(False, "Let pages of other origins call REST.")
    playground: bool = _flag(False, "Serve a page to play with the models at / of REST.", ours=True)
    openai_completions: bool = _flag(False, "Answer /v1/completions as OpenAI's clients ask it on REST.", ours=True)
    monitoring_config_file: str = _flag("", "Text MonitoringConfig: metrics for Prometheus.", path=True)
    max_request_bytes: int = _flag(
        LARGEST_MESSAGE, "Largest request, gRPC and REST.", ours=True, least=1, most=LARGEST_MESSAGE
    )
    max_connections: int = _flag(
        0, "Connections on each port; 0 is 1024, or what the limit on open files leaves.", ours=True, least=0
    )
    shutdown_grace_seconds: int = _flag(
        25, "Time that calls have to finish in after SIGTERM; the server ends within 3 s more.", ours=True, least=0
    )
    max_queued_requests: int = _flag(1024, "Calls that may wait for a thread; more are refused.", ours=True, least=0)
    tensorflow_session_config_file: str = _flag("", "Text ConfigProto of the sessions.", path=True)
    tensorflow_session_parallelism: int = _flag(
        0, "Threads in an op and of ops; 0 is automatic.", least=0, most=MOST_THREADS
    )
    tensorflow_intra_op_parallelism: int = _flag(0, "Threads in an op; 0 is automatic.", least=0, most=MOST_THREADS)
    tensorflow_inter_op_parallelism: int = _flag(0, "Ops at once; 0 is automatic.", least=0, most=MOST_THREADS)
    per_process_gpu_memory_fraction: float = _flag(0.0, "Share of GPU memory; 0 is automatic.", least=0, most=1)

    def __post_init__(self) -> None:
        for flag in FLAGS:
            if hasattr(self, flag.name):
                _check_range(flag, getattr(self, flag.name))
        check_ports(self.port, self.rest_api_port)
        if not self.port and not self.grpc_socket_path:
            raise UsageError("There is nothing to listen on: give --port or --grpc_socket_path.")
        if not self.host:
            raise UsageError("--host is empty: give an address, such as 127.0.0.1, or 0.0.0.0 for every one.")
        check_served(self.model_config_file, self.model_base_path)
        if self.batching_parameters_file and not self.enable_batching:
            raise UsageError("--batching_parameters_file needs --enable_batching.")
        for name in ("playground", "openai_completions"):
            if getattr(self, name) and not self.rest_api_port:
                raise UsageError(f"--{name} needs --rest_api_port.")
        if self.tensorflow_session_parallelism and all(self._op_parallelism):
            raise UsageError(
                "--tensorflow_session_parallelism sets what --tensorflow_intra_op_parallelism and "
                "--tensorflow_inter_op_parallelism set: give it or the two."
            )

    @property
    def parallelism(self) -> tuple[int, int]:
        """Threads within an op and ops at the same time; one of the two set silences the session's (server.cc)."""
        session = self.tensorflow_session_parallelism
        return self._op_parallelism if any(self._op_parallelism) else (session, session)

    @property
    def _op_parallelism(self) -> tuple[int, int]:
        return self.tensorflow_intra_op_parallelism, self.tensorflow_inter_op_parallelism


def _other(name: str, default: Value, help: str, *, path: bool = False) -> Flag:
    return Flag(name=name, default=default, help=help, embedded=False, path=path)


VERSION = Flag(name="version", default=False, help="Show the version and leave.")

FLAGS: tuple[Flag, ...] = (
    *(
        Flag(name=known.name, default=getattr(ServerFlags, known.name), **known.metadata)
        for known in fields(ServerFlags)
    ),
    VERSION,
    _other("enable_per_model_batching_parameters", False, "Read batching parameters from the model."),
    _other("num_load_threads", 0, "Threads that load."),
    _other("num_unload_threads", 0, "Threads that unload."),
    _other("flush_filesystem_caches", True, "Drop the file caches after loading."),
    _other("use_alts_credentials", False, "Use Google's ALTS."),
    _other("platform_config_file", "", "Text PlatformConfigMap.", path=True),
    _other("remove_unused_fields_from_bundle_metagraph", True, "Save memory."),
    _other("prefer_tflite_model", False, "Load model.tflite if there is one."),
    _other("num_tflite_pools", 0, "Pools of TFLite interpreters; one per CPU."),
    _other("num_tflite_interpreters_per_pool", 1, "TFLite interpreters in a pool."),
    _other("xla_cpu_compilation_enabled", False, "Compile for the CPU."),
    _other("xla_gpu_compilation_enabled", False, "Compile for the GPU."),
    _other("enable_profiler", True, "Offer the profiler service."),
    _other("thread_pool_factory_config_file", "", "Text ThreadPoolFactoryConfig.", path=True),
    _other("mixed_precision", "", "Mode of mixed precision."),
    _other("skip_initialize_tpu", False, "Leave the TPU alone."),
    _other("enable_signature_method_name_check", False, "Check method names."),
)


def check_ports(port: int, rest_api_port: int) -> None:
    """Refuses one port for both doors."""
    if port and port == rest_api_port:
        raise UsageError(f"--port and --rest_api_port are both {port}: give one of them another number.")


def check_served(model_config_file: str, model_base_path: str) -> None:
    """Refuses flags that name no model, as tensorflow_model_server does; the configuration file wins."""
    if not model_config_file and not model_base_path:
        raise UsageError("There is nothing to serve: give --model_base_path or --model_config_file.")
    if not model_config_file:
        check_base_path(model_base_path, of="--model_base_path")


def resolve_base_path(given: Mapping[str, Any]) -> dict[str, Any]:
    """Makes --model_base_path absolute: `charflow serve` takes a relative one, which tensorflow_model_server refuses.

    >>> resolve_base_path({"model_base_path": "/models/a"})
    {'model_base_path': '/models/a'}
    """
    path = given.get("model_base_path", "")
    if not path or "://" in path:
        return dict(given)
    return {**given, "model_base_path": str(Path(path).expanduser().absolute())}


def check_base_path(path: str, *, of: str) -> None:
    """Refuses a base path that is neither absolute nor a URI, as tensorflow_model_server does."""
    if not path.startswith("/") and "://" not in path:
        advice = f": give {_from_here(path)}" if of == "--model_base_path" else ""  # files expand no variables
        raise UsageError(f"{of} must be an absolute path, not {path!r}{advice}.")


def _from_here(path: str) -> str:
    """Writes a relative path as an absolute one for the shell, which expands no ~ after an equals sign."""
    rest = posixpath.normpath(path.removeprefix("~/"))
    written = f"{'$HOME' if path.startswith('~/') else '$PWD'}/{rest}"
    return written if shlex.quote(rest) == rest else f'"{written}"'


def _check_range(flag: Flag, value: float) -> None:
    low, high = flag.least, flag.most
    if low is not None and high is not None and not low <= value <= high:
        raise UsageError(f"--{flag.name} must be between {low} and {high}, not {value}.")
    if low is not None and not low <= value:
        raise UsageError(f"--{flag.name} must be at least {low}, not {value}.")
    if high is None and isinstance(value, int) and not -LARGEST_INT - 1 <= value <= LARGEST_INT:
        end = f"at most {LARGEST_INT}" if value > 0 else f"at least {-LARGEST_INT - 1}"
        raise UsageError(f"--{flag.name} must be {end}, not {value}.")
