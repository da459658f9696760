"""Writes the configuration files of a model server beside the versions of a model.

`publish` calls it after a version is in place. TensorFlow Serving and `charflow serve` read the files by
`--model_config_file`, `--batching_parameters_file` and `--monitoring_config_file`; `charflow promote` moves the labels
in the first. A file that is there is never touched: it has the user's edits, labels above all.
"""

from collections.abc import Mapping
from pathlib import Path

from charflow.pipeline.files import replacing
from charflow.serving.layout import BATCHING, MODELS, MONITORING

# Times of the default network (256 units) in batching.config: one process, 2 CPU cores, 100 characters a row.
_FILES = {
    MODELS: """\
# Which versions the server loads: --model_config_file=models.config
#
# With the policy `latest`, the highest version takes over as soon as it has been exported. To let callers ask for
# "stable" instead, give version 1 that label with
#     charflow promote BASE 1 --label stable --force
# and later move it, after a comparison, with --texts in place of --force. By hand: list the versions to keep loaded and
# what the labels stand for, in place of `latest`:
#     model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
#     version_labels {{ key: "stable" value: 1 }}
#     version_labels {{ key: "canary" value: 2 }}
# With labels in this file, start the server with --allow_version_labels_for_unavailable_models: it reads them before it
# has loaded any version, and refuses to start otherwise.
model_config_list {{
{models}}}
""",
    BATCHING: """\
# How requests are joined: --enable_batching --batching_parameters_file=batching.config

# A batch is written character by character until its longest row is done. With 256 units on 2 CPU cores 100 characters
# take 6 ms for 1 row, 29 ms for 32 and 75 ms for 128: at 32 rows the server writes 6 times as many characters a second,
# beyond that each row waits longer for little more. So batches have at most 32 rows; a request may have 128, as many as
# charflow's own clients send at once, and is cut into batches.
max_batch_size { value: 128 }
max_execution_batch_size { value: 32 }
enable_large_batch_splitting { value: true }

# How long the first request waits for company: not at all. While the threads are at work, those that come form the next
# batch by themselves; a wait of 2 ms wrote no more characters a second for 4, 16 or 64 callers, and made a request
# that was alone wait for more than 4 ms (TensorFlow Serving looks at the queue every ms). charflow's own server lets a
# batch wait for the callers of the one before it, who come back one by one: 40 ms at most, and never one that is alone.
batch_timeout_micros { value: 0 }

# 32 batches of 400 characters are about four seconds' work: a queue that is longer answers too late to be of use, and
# one that is full says so at once (UNAVAILABLE).
max_enqueued_batches { value: 32 }

# Batches are filled up to one of these, so a session meets few shapes; a row that fills up is written like any other,
# so the steps are small, and with 1 in the list a request that is alone is not filled up. The last must equal
# max_execution_batch_size.
allowed_batch_sizes: 1
allowed_batch_sizes: 2
allowed_batch_sizes: 4
allowed_batch_sizes: 8
allowed_batch_sizes: 12
allowed_batch_sizes: 16
allowed_batch_sizes: 20
allowed_batch_sizes: 24
allowed_batch_sizes: 28
allowed_batch_sizes: 32

# num_batch_threads is left out: the default is a thread for each core of the machine that serves. A batch keeps
# its thread until its longest completion ends, and the next batch waits for a thread: where some callers ask for
# thousands of characters and others should not wait for these, give more.
""",
    MONITORING: """\
# Metrics for Prometheus on the REST port: --monitoring_config_file=monitoring.config --rest_api_port=8501
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
""",
}

_MODEL = """\
  config {{
    name: {name}
    base_path: {base}
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
"""


def write_server_configs(folder: Path, models: Mapping[str, Path]) -> None:
    """Writes the files that are missing.

    >>> write_server_configs(Path("models/a"), {"a": Path("models/a")})  # doctest: +SKIP

    Args:
        folder: where to.
        models: what callers call each model, and the folder of its versions; models.config has its absolute path.

    Raises:
        UserError: a file cannot be written, or the disk is full; no part of a file is left behind.
    """
    for name, text in _FILES.items():
        path = folder / name
        if path.exists():
            continue
        if name == MODELS:
            text = text.format(models="".join(map(_model, models, models.values())))
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")


def names_model(folder: Path, name: str) -> bool:
    """Says whether the models.config of a folder, which may be the user's, names a model."""
    return f"name: {_quoted(name)}" in (folder / MODELS).read_text(encoding="utf-8", errors="replace")


def _model(name: str, base: Path) -> str:
    return _MODEL.format(name=_quoted(name), base=_quoted(str(base.resolve())))


def _quoted(text: str) -> str:
    """Writes a string as protobuf's text format has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
