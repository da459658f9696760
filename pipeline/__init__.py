"""Reads chat CSVs into messages, text, vocabulary, corpus and training windows.

The names below are charflow's public pipeline; each is loaded when it is first used, so that importing the
package costs nothing and NumPy-only modules stay free of TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charflow.pipeline.corpus.cache import CorpusCache
    from charflow.pipeline.corpus.corpus import Corpus
    from charflow.pipeline.corpus.explore import plot_users, summarise_chat, summarise_user
    from charflow.pipeline.corpus.settings import CorpusSettings
    from charflow.pipeline.errors import UserError
    from charflow.pipeline.formats.csv_format import CsvFormat
    from charflow.pipeline.formats.messages import Messages, read_messages
    from charflow.pipeline.prepared.corpus import PreparedCorpus
    from charflow.pipeline.prepared.streaming import naming_shards, plan_stream, stream_windows
    from charflow.pipeline.prepared.writing import prepare_corpus
    from charflow.pipeline.sample_chat import write_sample_chat
    from charflow.pipeline.text import normalise
    from charflow.pipeline.text_settings import TextSettings
    from charflow.pipeline.vocabulary import CharacterLookup, Vocabulary
    from charflow.pipeline.windows import count_windows, make_windows

_HOMES = {
    "CharacterLookup": "vocabulary",
    "Corpus": "corpus.corpus",
    "CorpusCache": "corpus.cache",
    "CorpusSettings": "corpus.settings",
    "CsvFormat": "formats.csv_format",
    "Messages": "formats.messages",
    "PreparedCorpus": "prepared.corpus",
    "TextSettings": "text_settings",
    "UserError": "errors",
    "Vocabulary": "vocabulary",
    "count_windows": "windows",
    "make_windows": "windows",
    "naming_shards": "prepared.streaming",
    "normalise": "text",
    "plan_stream": "prepared.streaming",
    "plot_users": "corpus.explore",
    "prepare_corpus": "prepared.writing",
    "read_messages": "formats.messages",
    "stream_windows": "prepared.streaming",
    "summarise_chat": "corpus.explore",
    "summarise_user": "corpus.explore",
    "write_sample_chat": "sample_chat",
}

__all__ = [
    "CharacterLookup",
    "Corpus",
    "CorpusCache",
    "CorpusSettings",
    "CsvFormat",
    "Messages",
    "PreparedCorpus",
    "TextSettings",
    "UserError",
    "Vocabulary",
    "count_windows",
    "make_windows",
    "naming_shards",
    "normalise",
    "plan_stream",
    "plot_users",
    "prepare_corpus",
    "read_messages",
    "stream_windows",
    "summarise_chat",
    "summarise_user",
    "write_sample_chat",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
