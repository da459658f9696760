"""Loads the ops of TensorFlow Text that are needed, and no others; below every package, for texts and models need them.

`import tensorflow_text` would load all of its 23 libraries of ops, which take 4 to 5 MB of memory each, Keras, and what
builds models for mobile devices.
"""

import functools
import importlib.util
import mmap
import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model.loader_impl import parse_saved_model

_NORMALISING = "python/ops/_normalize_ops.so"
_loading = threading.Lock()


def normalize_utf8(text: tf.Tensor, form: str) -> tf.Tensor:
    """Puts texts, a string tensor of any shape, into the Unicode form NFC, NFD, NFKC or NFKD.

    >>> normalize_utf8(tf.constant(["a\\u030a"]), "NFC").numpy()[0].decode()
    'å'

    Raises:
        ImportError: TensorFlow Text is not installed.
    """
    return _normalising().normalize_utf8(text, form)


def case_fold_utf8(text: tf.Tensor) -> tf.Tensor:
    """Folds the case of texts, a string tensor of any shape, by Unicode's NFKC_Casefold.

    >>> case_fold_utf8(tf.constant(["Straße"])).numpy().tolist()
    [b'strasse']

    Raises:
        ImportError: TensorFlow Text is not installed.
    """
    return _normalising().case_fold_utf8(text)


def register_ops(names: Iterable[str]) -> None:
    """Registers the ops that TensorFlow lacks and TensorFlow Text has; safe from many threads at once.

    A library's file has the names of its ops: whatever version is installed, those are found that are needed.
    """
    with _loading:
        missing = unregistered(names)
        for pattern in (b"\0%s\0", b"%s"):  # a linker may keep a name as the end of a longer one
            for library in _libraries() if missing else ():
                if _mentions(library, [pattern % name.encode() for name in missing]):
                    tf.load_library(str(library))
                    missing = unregistered(missing)


def unregistered(names: Iterable[str]) -> list[str]:
    """Those ops that TensorFlow does not know, sorted.

    >>> unregistered({"MatMul", "Divine"})
    ['Divine']
    """
    return sorted(name for name in set(names) if op_def_registry.get(name) is None)


def register_ops_of(saved_model: str) -> None:
    """Registers the ops that a SavedModel's graphs and functions have, as `register_ops`.

    Args:
        saved_model: its folder.

    Raises:
        OSError: no SavedModel is there, or it is damaged.
    """
    graphs = [meta_graph.graph_def for meta_graph in parse_saved_model(saved_model).meta_graphs]
    functions = [function for graph in graphs for function in graph.library.function]
    ops = {node.op for graph in graphs for node in graph.node}
    ops.update(node.op for function in functions for node in function.node_def)
    register_ops(ops - {function.signature.name for function in functions})  # a function may be called by its name


@functools.cache
def _normalising() -> Any:
    """The functions of the ops that normalise."""
    with _loading:
        return tf.load_op_library(str(_folder() / _NORMALISING))


def _libraries() -> list[Path]:
    return sorted(_folder().glob("python/*/_*.so"))


def _folder() -> Path:
    found = importlib.util.find_spec("tensorflow_text")  # which imports nothing
    if not (found and found.origin):
        raise ImportError("TensorFlow Text is missing: install charflow anew, or tensorflow-text.")
    return Path(found.origin).parent


def _mentions(library: Path, names: Collection[bytes]) -> bool:
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(name) >= 0 for name in names)
