"""Maps characters (Unicode code points) to ids and back.

`corpus` builds it from the text; `model` sizes its network by it; `export` ships its file as an asset.
V is the vocabulary size: id 0 is `[UNK]`, ids 1 to V-1 are the characters in code point order, so the same text
gives the same ids on every machine.
"""

import atexit
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from charflow.pipeline.code_points import CODE_POINTS, points_of
from charflow.pipeline.errors import UserError, quoted
from charflow.pipeline.files import VOCABULARY, replacing
from charflow.pipeline.marks import NAMES, REPLY, UNKNOWN_ID
from charflow.pipeline.settings import AnyText, Count, checked
from charflow.sentences import Sentence

UNKNOWN_TOKEN = "[UNK]"
REPLACEMENT = "\ufffd"  # what an unknown character reads as in decoded text

_LINE_NUMBER = tf.lookup.TextFileIndex.LINE_NUMBER

# The file has one character a line, so the two that TensorFlow's line reader would swallow get a name, as marks have.
_LINE_TOKENS = {"\n": "[LF]", "\r": "[CR]", **NAMES}


class Vocabulary:
    """The distinct characters of a corpus.

    >>> vocabulary = Vocabulary("cab")
    >>> vocabulary.chars, vocabulary.encode("abz").tolist(), vocabulary.decode([3, 1])
    (('a', 'b', 'c'), [1, 2, 0], 'ca')

    Attributes:
        chars: the known characters, sorted by code point; `chars[i]` has id `i + 1`.
    """

    @checked
    def __init__(self, chars: str | Sequence[str]) -> None:
        if wrong := [char for char in chars if len(char) != 1]:
            raise UserError(f"A vocabulary holds single characters, not {quoted(wrong[0])}.")
        if not chars:
            raise UserError("A vocabulary needs at least one character.")
        self.chars = tuple(sorted(set(chars)))

    @classmethod
    @checked
    def from_counts(
        cls, counts: Mapping[str, int], *, min_count: Count = 1, always: Collection[str] = ()
    ) -> "Vocabulary":
        """Keeps the characters that occur at least `min_count` times, or are in `always`; the others become `[UNK]`."""
        kept = {char for char, count in counts.items() if count >= min_count}
        if not kept - set(always):
            raise UserError(f"No character occurs {min_count:,} times.", advice=Sentence("Lower {min_count}."))
        return cls([*kept, *always])

    @property
    def size(self) -> int:
        """V: the known characters and `[UNK]`."""
        return len(self.chars) + 1

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned integer type that holds every id: uint8 up to V = 256, else uint16 or uint32.

        Where there are replies, read-only ids too, which are V higher: uint8 up to V = 128.
        """
        return np.min_scalar_type((2 if self.replies else 1) * self.size - 1)

    @property
    def replies(self) -> bool:
        """Whether there is `[REPLY]`: answers were learned, and what others wrote before them read."""
        return REPLY in self.chars

    @property
    def never_written(self) -> tuple[int, ...]:
        """The ids that a model only reads: of `[UNK]`, and of `[REPLY]` where there is one."""
        return (UNKNOWN_ID, *(self.chars.index(char) + 1 for char in self.chars if char == REPLY))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.chars == other.chars

    def __hash__(self) -> int:
        return hash(self.chars)

    @checked
    def encode(self, text: AnyText) -> np.ndarray:
        """Maps text to ids [number of code points] of `dtype`; unknown characters become 0."""
        return self.ids_of(points_of(text))

    def ids_of(self, points: np.ndarray) -> np.ndarray:
        """Looks up code points: any integers [N] to ids [N] of `dtype`; those of read-only ones are V higher."""
        return self._ids[points]

    def ids_from(self, other: "Vocabulary") -> np.ndarray:
        """Gives for every id of another vocabulary its own, of `dtype`: [V], or [2 V] where there are replies."""
        table = np.concatenate([[UNKNOWN_ID], self.encode("".join(other.chars))])
        return np.concatenate([table, table + self.size] if other.replies else [table]).astype(self.dtype)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Maps ids back to text, read-only ones too; `[UNK]` becomes U+FFFD.

        Raises:
            IndexError: an id is not in the vocabulary.
        """
        places = np.asarray(ids, dtype=np.int64)
        if (wrong := places[(places < 0) | (places >= (2 if self.replies else 1) * self.size)]).size:
            raise IndexError(f"Id {wrong[0]} is not in the vocabulary of {self.size}.")
        points = np.concatenate([[ord(REPLACEMENT)], self._points]).astype("<u4")
        return points[places % self.size].tobytes().decode("utf-32-le")

    @checked
    def unknown_chars(self, text: AnyText) -> list[str]:
        """Lists the distinct characters of `text` that have no id, in order of appearance."""
        known = set(self.chars)
        return [char for char in dict.fromkeys(text) if char not in known]

    def are_replies(self, ids: np.ndarray) -> np.ndarray:
        """Says which ids of a corpus are `[REPLY]`, behind which an answer begins."""
        read_only = (self.size + char_id for char_id in self.never_written if char_id != UNKNOWN_ID)
        return np.isin(ids, list(read_only))

    def save(self, path: Path) -> None:
        """Writes one character a line (line feed, carriage return and marks by names such as `[LF]`), UTF-8."""
        lines = (_LINE_TOKENS.get(char, char) for char in self.chars)
        path.write_bytes("".join(f"{line}\n" for line in lines).encode())

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what `save` wrote.

        Raises:
            UserError: the file is missing or is not a vocabulary.
        """
        try:
            lines = path.read_bytes().decode().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is not a readable vocabulary: {error}.") from error
        named = {token: char for char, token in _LINE_TOKENS.items()}
        chars = [named.get(line, line) for line in lines[:-1]]
        vocabulary = cls(chars) if all(len(char) == 1 for char in chars) and chars else None
        if lines[-1] or vocabulary is None or vocabulary.chars != tuple(chars):
            raise UserError(f"{path} is not a vocabulary: it needs one character a line, sorted and distinct.")
        return vocabulary

    @cached_property
    def _ids(self) -> np.ndarray:
        """The id of every code point, [CODE_POINTS] or [COUNTED]: the fastest way to look up text without end."""
        table = np.full(CODE_POINTS, UNKNOWN_ID, self.dtype)
        table[self._points] = np.arange(1, self.size)
        return np.concatenate([table, table + self.dtype.type(self.size)]) if self.replies else table

    @cached_property
    def _points(self) -> np.ndarray:
        return np.array([ord(char) for char in self.chars], np.uint32)


class CharacterLookup(tf.Module):
    """The vocabulary as TensorFlow ops: tables fed by a vocabulary file.

    Saved in a SavedModel, the file becomes the asset `vocabulary.txt`, and the tables initialise themselves from it;
    beside a graph whose file is another, damaged or only partly copied, they refuse, and the model does not load.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(name="characters")
        path, line, number = str(_file_of(vocabulary)), tf.lookup.TextFileIndex.WHOLE_LINE, _LINE_NUMBER
        self._ids = tf.lookup.StaticHashTable(_WholeFile(path, tf.string, line, tf.int64, number), UNKNOWN_ID)
        self._chars = tf.lookup.StaticHashTable(_WholeFile(path, tf.int64, number, tf.string, line), UNKNOWN_TOKEN)

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Splits strings [B] into characters and looks up their ids, int64 [B, (T)]."""
        chars = tf.strings.unicode_split(text, "UTF-8")
        return chars.with_flat_values(self.ids_of(chars.flat_values))

    def ids_of(self, chars: tf.Tensor) -> tf.Tensor:
        """Looks up single characters: string [N] to int64 [N]."""
        for char, token in _LINE_TOKENS.items():
            chars = tf.where(chars == char, token, chars)
        return self._ids.lookup(chars)

    def chars_of(self, ids: tf.Tensor) -> tf.Tensor:
        """Looks up ids of any shape; `[UNK]` becomes U+FFFD."""
        chars = self._chars.lookup(ids)
        for char, token in (*_LINE_TOKENS.items(), (REPLACEMENT, UNKNOWN_TOKEN)):
            chars = tf.where(chars == token, char, chars)
        return chars


class _WholeFile(tf.lookup.TextFileInitializer):
    """Fills a table from a file, and has the graph check that it is the file that was there when the graph was made."""

    def __init__(self, path: str, *columns: object) -> None:
        super().__init__(path, *columns, value_index_offset=UNKNOWN_ID + 1)
        self._fingerprint = _fingerprint(path).numpy()

    def initialize(self, table: tf.lookup.StaticHashTable) -> tf.Operation:
        """Fills the table, if the file is whole."""
        whole = tf.debugging.Assert(
            _fingerprint(self._filename) == self._fingerprint,
            ["vocabulary.txt is not the file that this model was made with: it is damaged, or only partly copied"],
        )
        with tf.control_dependencies([whole] if whole is not None else []):  # eager ones give nothing
            return super().initialize(table)


def _fingerprint(path: tf.Tensor | str) -> tf.Tensor:
    """FarmHash Fingerprint64 of a file's bytes, which is the same on every machine."""
    return tf.strings.to_hash_bucket_fast(tf.io.read_file(path), 2**63 - 1)


@cache
def _file_of(vocabulary: Vocabulary) -> Path:
    """Writes the vocabulary where only this one ever stands.

    TensorFlow shares a table between all that name the same file, for the life of the process: a run folder's own
    file, written anew, would give the ids of the old one.
    """
    folder = Path(tempfile.mkdtemp(prefix="charflow-vocabulary-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with replacing(folder / VOCABULARY) as beside:
        vocabulary.save(beside)
    return folder / VOCABULARY
