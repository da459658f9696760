"""Says what stands in a prepared folder: the table that `writing` writes and `corpus` reads.

The same table is kept under two names: `progress.json` while shards are still being written, `manifest.json` when all
are there. So whoever finds a `manifest.json` finds a whole corpus.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import UserError
from charflow.pipeline.files import replacing
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.settings import Paths

_FORMAT = 3  # raise it when the table changes, or other ids come of the same files and settings
_BLOCK = 1 << 20  # bytes read at once to be hashed


class Position(NamedTuple):
    """Where the text of a batch of rows starts: in which part of the text, and the batches and characters before it.

    The messages to learn are part 0, those that are held out part 1.
    """

    part: int = 0
    batch: int = 0
    characters: int = 0


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of ids.

    Attributes:
        name: of the file, inside the folder.
        characters: ids in it.
        sha256: of its bytes, in hexadecimal.
        ended_in: the batch of rows that its last character is from; an interrupted preparation goes on there.
    """

    name: str
    characters: int
    sha256: str
    ended_in: Position


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What decides every byte of a prepared corpus.

    Attributes:
        settings: the fields of `CorpusSettings`, as JSON has them.
        sources: path, size in bytes and modification time in ns (or SHA-256) of each CSV file.
        shard_characters: ids in every shard but the last.
    """

    settings: dict[str, Any]
    sources: list[dict[str, Any]]
    shard_characters: int

    @classmethod
    def of(cls, paths: Paths, settings: CorpusSettings, shard_characters: int) -> "Origin":
        """Looks the files up.

        Raises:
            UserError: a file is missing.
        """
        plain = json.loads(json.dumps(asdict(settings)))  # lists for tuples
        sources = [file.identity() for file in find_inputs(paths)]
        return cls(settings=plain, sources=sources, shard_characters=shard_characters)

    def differences(self, other: "Origin") -> list[str]:
        """Names the settings and files that differ."""
        names = [name for name, value in self.settings.items() if other.settings.get(name) != value]
        if self.shard_characters != other.shard_characters:
            names.append("shard size")
        ours, theirs = ({source["path"]: source for source in origin.sources} for origin in (self, other))
        names += [path for path in {**ours, **theirs} if ours.get(path) != theirs.get(path)]
        return names if names or self == other else ["order of the files"]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The table; `rows` to `fingerprint` are as in `Corpus`.

    Attributes:
        origin: what the corpus is made of.
        vocabulary_sha256: of `vocabulary.txt`.
        dtype: of the ids, which are little-endian.
        characters: N, ids in all shards.
        split: None while it is in a shard that is not written yet.
        fingerprint: None until all shards are written.
        noticed: about the messages, as a table.
        users: the settings `users` and `drop_users` with ids in the place of names.
        shards: those written so far, in order.
    """

    origin: Origin
    vocabulary_sha256: str
    dtype: str
    rows: int
    dropped: dict[str, int]
    messages: int
    held_out_messages: int
    characters: int
    split: int | None = None
    fingerprint: str | None = None
    noticed: dict[str, Any] = field(default_factory=dict)
    users: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shards: tuple[Shard, ...] = ()

    @property
    def n_shards(self) -> int:
        """How many shards there are when all are written."""
        return -(-self.characters // self.origin.shard_characters)

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Reads a table.

        Raises:
            UserError: it is damaged, or another version of charflow wrote it.
        """
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            if table.pop("format") != _FORMAT:
                raise UserError(f"{path} was written by another version of charflow: prepare a new folder.")
            origin = Origin(**table.pop("origin"))
            shards = tuple(_shard(**shard) for shard in table.pop("shards"))
            return cls(origin=origin, shards=shards, **table)
        except UserError:
            raise
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path} cannot be read as a table of shards: prepare a new folder.") from error

    def save(self, path: Path) -> None:
        """Writes the table in one step.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        text = json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)
        with replacing(path) as beside:
            beside.write_text(text + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hashes a file; in hexadecimal."""
    digest = hashlib.sha256()
    for block in blocks_of(path):
        digest.update(block)
    return digest.hexdigest()


def blocks_of(path: Path) -> Iterator[bytes]:
    """Reads the bytes of a file, a block at a time."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _shard(*, ended_in: Sequence[int], **fields: Any) -> Shard:
    return Shard(ended_in=Position(*ended_in), **fields)
