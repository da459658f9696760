"""Models with ops of TensorFlow Text, whose libraries a server loads when it loads such a model."""

import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import tensorflow as tf

from charflow.text_ops import case_fold_utf8
from tests.serving.processes.server_process import ServerProcess, starting
from tests.serving.processes.test_reload import model, reload

TEXT = [tf.TensorSpec([None], tf.string, name="text")]


class Folds(tf.Module):
    @tf.function(input_signature=TEXT, autograph=False)
    def fold(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"folded": case_fold_utf8(text)}


class Splits(tf.Module):
    """Splits words into parts that a vocabulary has: an op with a table, beside one whose name has a prefix."""

    def __init__(self) -> None:
        super().__init__()
        entries = tf.lookup.KeyValueTensorInitializer(["green", "##house", "##s"], tf.constant([0, 1, 2], tf.int64))
        self.table = tf.lookup.StaticVocabularyTable(entries, 1)

    @tf.function(input_signature=TEXT, autograph=False)
    def split(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow_text

        words = tensorflow_text.WhitespaceTokenizer().tokenize(text)
        parts = tensorflow_text.WordpieceTokenizer(self.table, token_out_type=tf.string).tokenize(words)
        return {"parts": parts.merge_dims(1, 2).to_tensor()}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the two models, and of one with an op that nobody has."""
    folder = tmp_path_factory.mktemp("texts")
    folds, splits = Folds(), Splits()
    tf.saved_model.save(folds, str(folder / "folds/1"), signatures=folds.fold)
    tf.saved_model.save(splits, str(folder / "splits/1"), signatures=splits.split)
    unknown = (folder / "folds/1/saved_model.pb").read_bytes().replace(b"CaseFoldUTF8", b"CaseBentUTF8")
    (folder / "bends/1").mkdir(parents=True)
    (folder / "bends/1/saved_model.pb").write_bytes(unknown)
    return folder


@pytest.fixture(scope="module")
def plain(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of models without such ops, to which the test adds others."""
    with starting(tmp_path_factory.mktemp("plain")) as start:
        yield start(model_name="chat", model_base_path=models / "chat", max_num_load_retries=0)


def libraries(server: ServerProcess) -> list[str]:
    maps = Path(f"/proc/{server.pid}/maps").read_text()
    return sorted(set(re.findall(r"tensorflow_text/\S*/(\w+)\.so", maps)))


def test_server_loads_the_libraries_that_its_models_need(plain: ServerProcess, models: Path, texts: Path) -> None:
    chat, others = model("chat", models / "chat"), [model(name, texts / name) for name in ("folds", "splits", "bends")]
    assert libraries(plain) == []
    reload(plain, chat, others[0])
    assert plain.ask("folds", {"text": ["Straße"]}) == {"folded": ["strasse"]}
    assert libraries(plain) == ["_normalize_ops"]
    reload(plain, chat, *others[:2])
    assert plain.ask("splits", {"text": ["green greenhouses"]}) == {"parts": [["green", "green", "##house", "##s"]]}
    assert libraries(plain) == ["_normalize_ops", "_whitespace_tokenizer_v2", "_wordpiece_tokenizer"]
    with pytest.raises(grpc.RpcError, match=r"Op type not registered 'CaseBentUTF8' in binary running on "):
        reload(plain, chat, *others)
    assert len(libraries(plain)) == 3
