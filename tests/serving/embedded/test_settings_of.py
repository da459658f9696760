"""What flags come to."""

from pathlib import Path

import pytest
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from charflow.serving.embedded.settings_of import load_settings
from charflow.serving.settings.flags import ServerFlags


@pytest.mark.parametrize(
    ("content", "times"),
    [
        ("intra_op_parallelism_threads: 3", RewriterConfig.ONE),
        ("graph_options { rewrite_options { meta_optimizer_iterations: TWO } }", RewriterConfig.TWO),
    ],
    ids=["by itself", "as the operator says"],
)
def test_graphs_are_rewritten_once_or_as_the_operator_says(content: str, times: int, tmp_path: Path) -> None:
    (tmp_path / "session.config").write_text(content)
    flags = ServerFlags(model_base_path="/m", tensorflow_session_config_file=str(tmp_path / "session.config"))
    session = load_settings(flags).session
    assert session and session.graph_options.rewrite_options.meta_optimizer_iterations == times


def test_graphs_are_rewritten_once_without_a_file() -> None:
    session = load_settings(ServerFlags(model_base_path="/m")).session
    assert session and session.graph_options.rewrite_options.meta_optimizer_iterations == RewriterConfig.ONE
