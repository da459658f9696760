"""The ops of TensorFlow Text against its own functions, and which of its libraries are loaded when."""

import doctest
import subprocess
import sys

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charflow import text_ops
from charflow.text_ops import case_fold_utf8, normalize_utf8, register_ops, unregistered

few = settings(max_examples=40, deadline=None)
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4)

# One op of each library.
OPS = """
    CaseFoldUTF8 ConstrainedSequence FastBertNormalize FastWordpieceTokenizeWithOffsets MaxSpanningTree PhraseTokenize
    RegexSplitWithOffsets RougeL SentenceFragments SentenceFragmentsV2 SentencepieceOp SplitMergeTokenizeWithOffsets
    TFText>BoiseTagsToOffsets TFText>ByteSplitWithOffsets TFText>FastSentencepieceTokenize TFText>NgramsStringJoin
    TFText>RoundRobinTrim TFText>Utf8Binarize TFText>WhitespaceTokenizeWithOffsetsV2 TokenizerFromLogits
    UnicodeScriptTokenizeWithOffsets WhitespaceTokenizeWithOffsets WordpieceTokenizeWithOffsets
"""
PROGRAM = """
import re, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from charflow import text_ops

def mapped():
    return set(re.findall(r"tensorflow_text/\\S+", Path("/proc/self/maps").read_text()))

ops = sys.argv[1].split()
text_ops.register_ops({"MatMul", "NobodysOp"})
print(len(mapped()))
text_ops.register_ops(["NobodysOp", ops[0]])
print(len(mapped()))
with ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda op: text_ops.register_ops([op]), ops * 2))
print(text_ops.unregistered(["NobodysOp", *ops]), len(ops), len(text_ops._libraries()), len(mapped()))
print("tensorflow_text" in sys.modules)
"""


@few
@given(texts=texts, form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
@example(texts=["℡ a\u030a \u212b", "", "ﬁ"], form="NFKC")
def test_normalize_utf8_is_tensorflow_texts(texts: list[str], form: str) -> None:
    import tensorflow_text

    found = normalize_utf8(tf.constant(texts, tf.string), form).numpy().tolist()
    assert found == tensorflow_text.normalize_utf8(tf.constant(texts, tf.string), form).numpy().tolist()


@few
@given(texts=texts)
@example(texts=["Straße", "ΤΈΛΟΣ", "x² ½\xa0\xad!"])
def test_case_fold_utf8_is_tensorflow_texts(texts: list[str]) -> None:
    import tensorflow_text

    found = case_fold_utf8(tf.constant(texts, tf.string)).numpy().tolist()
    assert found == tensorflow_text.case_fold_utf8(tf.constant(texts, tf.string)).numpy().tolist()


@pytest.mark.slow
def test_a_library_is_loaded_when_one_of_its_ops_is_needed() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, OPS], capture_output=True, text=True, timeout=300, check=False)
    count = len(OPS.split())
    assert run.stdout.splitlines() == ["0", "1", f"['NobodysOp'] {count} {count} {count}", "False"], run.stderr


def test_ops_that_tensorflow_has_or_nobody_need_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf, "load_library", lambda library: pytest.fail(f"{library} was loaded"))
    register_ops(["MatMul", "Nobody'sOp"])
    assert unregistered(["MatMul", "Nobody'sOp"]) == ["Nobody'sOp"]


def test_a_missing_tensorflow_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_ops.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"^TensorFlow Text is missing: install charflow anew, or tensorflow-text\.$"):
        register_ops(["Nobody'sOp"])


def test_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(text_ops).failed == 0
