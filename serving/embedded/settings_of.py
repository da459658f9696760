"""What the flags of a server, and the files they name, come to: the models, how they are loaded, how batches are made.

`server` asks once, when it begins.
"""

import dataclasses
import os

from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from charflow.serving.embedded.core.batching_settings import BatchingSettings
from charflow.serving.embedded.core.loading import LoadSettings
from charflow.serving.embedded.core.step_threads import StepThreads
from charflow.serving.errors import ServingError, UsageError
from charflow.serving.settings.configs import read_batching_parameters, read_model_config, read_session_config
from charflow.serving.settings.flags import ServerFlags

# How often TensorFlow rewrites a graph: it would do so twice, which takes a quarter of the first run of each signature,
# and makes none faster (a text, a batch of them; a convolutional, a recurrent, an attentive network of Keras).
_REWRITTEN = rewriter_config_pb2.RewriterConfig.ONE
_STEPS_PER_CORE = 4  # that have a thread of their own; with fewer, long ones keep others waiting


def model_config(flags: ServerFlags) -> ModelServerConfig:
    """The models to serve.

    Raises:
        UsageError: their file cannot be used.
    """
    if flags.model_config_file:
        return read_model_config(flags.model_config_file)
    config = ModelServerConfig()
    config.model_config_list.config.add(
        name=flags.model_name, base_path=flags.model_base_path, model_platform="tensorflow"
    )
    return config


def load_settings(flags: ServerFlags) -> LoadSettings:
    """How versions are loaded.

    Raises:
        UsageError: a file cannot be used.
    """
    session = (
        read_session_config(flags.tensorflow_session_config_file)
        if flags.tensorflow_session_config_file
        else config_pb2.ConfigProto()
    )
    rewriting = session.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = rewriting.meta_optimizer_iterations or _REWRITTEN
    intra, inter = flags.parallelism
    if intra:
        session.intra_op_parallelism_threads = intra
    if inter:
        session.inter_op_parallelism_threads = inter
    if flags.per_process_gpu_memory_fraction:
        session.gpu_options.per_process_gpu_memory_fraction = flags.per_process_gpu_memory_fraction
    return LoadSettings(
        tags=tuple(flags.saved_model_tags.split(",")),
        session=session,
        batching=read_batching(flags) if flags.enable_batching else None,
        warmup=max(1, flags.num_request_iterations_for_warmup) if flags.enable_model_warmup else 0,
    )


def with_threads(settings: LoadSettings, calls: int) -> LoadSettings:
    """Lets more steps run at once than there are cores, unless the operator says which threads run them.

    TensorFlow's own number is that of the cores, and a loop keeps its thread until it ends: two completions of 4,096
    characters on two cores made every other model wait for a second. The system shares cores among threads.
    """
    session = settings.session
    if session is None or session.inter_op_parallelism_threads or session.session_inter_op_thread_pool:
        return settings
    cores = os.cpu_count() or 1
    threads = StepThreads(session, cores=cores, steps=max(cores, min(calls, _STEPS_PER_CORE * cores)))
    return dataclasses.replace(settings, session=threads.config, threads=threads)


def read_batching(flags: ServerFlags) -> BatchingSettings:
    """Reads the parameters of batching from their file; those it leaves out are TensorFlow Serving's own.

    Raises:
        UsageError: the file cannot be used.
    """
    given: dict[str, object] = {"num_batch_threads": os.cpu_count() or 1}
    if flags.batching_parameters_file:
        file = read_batching_parameters(flags.batching_parameters_file)
        for name in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"):
            if file.HasField(name):
                given[name] = getattr(file, name).value
        if file.HasField("thread_pool_name"):
            given["thread_pool_name"] = file.thread_pool_name.value
        if file.enable_large_batch_splitting.value:
            largest = file.max_execution_batch_size.value if file.HasField("max_execution_batch_size") else None
            given["max_execution_batch_size"] = largest or given.get("max_batch_size", BatchingSettings.max_batch_size)
        given["allowed_batch_sizes"] = tuple(file.allowed_batch_sizes)
        given["pad_variable_length_inputs"] = file.pad_variable_length_inputs
    try:
        return BatchingSettings(**given)  # type: ignore[arg-type]  # the fields were checked by their proto
    except ServingError as error:
        raise UsageError(f"--batching_parameters_file: {error}.") from error
