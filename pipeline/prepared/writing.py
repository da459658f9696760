"""Encodes chats of any size into a folder of numbered shards, in bounded memory, and goes on where it was stopped.

The chat is read once: its messages wait in a file of the folder that has no name, while they and their characters are
counted, which fixes the vocabulary and what is held out. Then `encoded_text` gives the ids, in batches: of what is
learned, and of what is held out. The result equals `build_corpus`; `corpus` reads it.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import takewhile
from pathlib import Path

import numpy as np

from charflow.pipeline.corpus.facts import Fingerprint
from charflow.pipeline.corpus.gathering import gather
from charflow.pipeline.corpus.held_out import Tails
from charflow.pipeline.corpus.joined_texts import JoinedTextsOnDisk
from charflow.pipeline.corpus.kept_texts import make_vocabulary, tail_start
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.corpus.users import with_ids
from charflow.pipeline.errors import SettingError, UserError, reason
from charflow.pipeline.files import MANIFEST, PROGRESS, VOCABULARY, replacing
from charflow.pipeline.formats.inputs import find_inputs
from charflow.pipeline.formats.messages import Messages, read_messages
from charflow.pipeline.places import check_folder
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.encoded_text import EncodedText
from charflow.pipeline.prepared.manifest import Manifest, Origin, Shard, blocks_of, sha256_of
from charflow.pipeline.settings import Count, Paths, checked
from charflow.pipeline.vocabulary import Vocabulary

SHARD_CHARACTERS = 32 << 20
_MOST_SHARDS = 10_000  # their table is written after each
_OURS = ("shard-*.ids", ".shard-*", VOCABULARY, f".{VOCABULARY}.*", f".{MANIFEST}.*", f".{PROGRESS}.*")

# Is told what is being done ("checking", "counting" or "encoding") and which share of it is done.
Progress = Callable[[str, float], None]


@checked
def prepare_corpus(
    paths: Paths,
    settings: CorpusSettings,
    folder: str | Path,
    *,
    shard_size: Count = SHARD_CHARACTERS,
    progress: Progress = lambda doing, share: None,
) -> PreparedCorpus:
    """Writes the corpus of chat CSVs into a folder, or goes on with one that was interrupted or damaged.

    The folder has the same bytes in the end, however often the work was interrupted, by whatever.

    Args:
        paths: files or globs, in the order their messages are to be read.
        settings: which messages count and how they become text.
        folder: new, empty, or begun by the same call.
        shard_size: characters in each shard but the last.
        progress: is called after each batch; what it raises ends the work, which can go on later.

    >>> prepared = prepare_corpus("chat-*.csv", CorpusSettings(), "corpus")  # doctest: +SKIP

    Raises:
        UserError: whatever `build_corpus` refuses; the folder is in use, or holds something else or a corpus of
            other files or settings; the disk is full.
    """
    settings.check_person()
    check_folder(Path(folder), "the corpus")
    files, folder = find_inputs(paths), Path(folder)
    origin = Origin.of(files, settings, shard_size)
    with _locked(folder):
        begun = _begun(folder, origin)
        if not begun or not begun.fingerprint:
            progress("checking", 0.0)
            messages = read_messages(files, settings.csv)
            own = with_ids(settings, messages)
            begun, tails, kept = _survey(messages, own, origin, begun, folder, progress)
            finished = _write_shards(kept, own, begun, tails, folder, progress)
            if changed := Origin.of(files, settings, shard_size).differences(origin):
                raise UserError(f"{', '.join(changed)} changed while it was read: prepare a new folder.")
            finished.save(folder / MANIFEST)
        (folder / PROGRESS).unlink(missing_ok=True)
        return PreparedCorpus.open(folder)


def _begun(folder: Path, origin: Origin) -> Manifest | None:
    """Takes stock of what is in the folder: the table of all that is still whole, None where nothing is.

    Raises:
        UserError: it was made by another call.
    """
    found = next((path for path in (folder / MANIFEST, folder / PROGRESS) if path.is_file()), None)
    if found is None:
        if foreign := [path.name for path in folder.iterdir() if not any(path.match(ours) for ours in _OURS)]:
            raise UserError(f"{folder} is no prepared corpus but holds {foreign[0]}: name a new folder.")
        return None
    manifest = Manifest.load(found)
    if differences := manifest.origin.differences(origin):
        raise UserError(
            f"{folder} holds the corpus of other files or settings ({', '.join(differences)}): name a new folder, "
            "or prepare it as before."
        )
    if not _is_whole(folder / VOCABULARY, manifest.vocabulary_sha256):
        (folder / MANIFEST).unlink(missing_ok=True)
        return None
    whole = tuple(takewhile(lambda shard: _is_whole(folder / shard.name, shard.sha256), manifest.shards))
    if found.name == PROGRESS or len(whole) < manifest.n_shards:
        manifest = replace(manifest, shards=whole, fingerprint=None)
        manifest.save(folder / PROGRESS)
        (folder / MANIFEST).unlink(missing_ok=True)
    return manifest


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _survey(
    messages: Messages,
    settings: CorpusSettings,
    origin: Origin,
    begun: Manifest | None,
    folder: Path,
    progress: Progress,
) -> tuple[Manifest, Tails, JoinedTextsOnDisk]:
    """Reads the messages, counts all that must be known before the first is encoded, and writes down what is not."""
    kept = JoinedTextsOnDisk(folder)
    found = gather(messages, settings, kept, counting=not begun, progress=partial(progress, "counting"))
    if begun:
        return begun, found.tails, kept
    vocabulary, characters = make_vocabulary(found.counts, settings), int(found.counts.sum())
    with replacing(folder / VOCABULARY) as beside:
        vocabulary.save(beside)
    _check_shards(characters, origin.shard_characters)
    manifest = Manifest(
        origin=origin,
        vocabulary_sha256=sha256_of(folder / VOCABULARY),
        dtype=vocabulary.dtype.name,
        rows=messages.all_rows,
        noticed=asdict(messages.noticed),
        users=settings.people,
        dropped=found.dropped,
        messages=found.n_used,
        held_out_messages=found.tails.messages,
        characters=characters,
    )
    manifest.save(folder / PROGRESS)
    return manifest, found.tails, kept


def _check_shards(characters: int, size: int) -> None:
    """Refuses more files than a folder should hold."""
    if (n_shards := -(-characters // size)) > _MOST_SHARDS:
        raise SettingError(
            "{shard_size} is {size}, which makes {count} shards: set it to at least {least}.",
            size=f"{size:,}",
            count=f"{n_shards:,}",
            least=f"{-(-characters // _MOST_SHARDS):,}",
        )


def _write_shards(
    kept: JoinedTextsOnDisk,
    settings: CorpusSettings,
    manifest: Manifest,
    tails: Tails,
    folder: Path,
    progress: Progress,
) -> Manifest:
    """Writes the shards that are not there yet; returns the whole table."""
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    fingerprint = Fingerprint(vocabulary)
    for shard in manifest.shards:
        for block in blocks_of(folder / shard.name):
            fingerprint.add(np.frombuffer(block, np.uint8))
    text = EncodedText(kept, settings, manifest, vocabulary, tails)
    size = manifest.origin.shard_characters
    for index in range(len(manifest.shards), manifest.n_shards):
        n_ids = min(size, manifest.characters - index * size)
        name, digest = f"shard-{index:05d}.ids", hashlib.sha256()
        with replacing(folder / name) as beside, beside.open("wb") as file:
            for ids in text.read(n_ids):
                file.write(ids.data)
                digest.update(ids.data)
                fingerprint.add(ids)
                progress("encoding", text.n_read / manifest.characters)
        shard = Shard(name=name, characters=n_ids, sha256=digest.hexdigest(), ended_in=text.position)
        manifest = replace(manifest, split=text.split, shards=(*manifest.shards, shard))
        manifest.save(folder / PROGRESS)
    by_messages = manifest.characters if manifest.split is None else manifest.split
    split = tail_start(manifest.characters, by_messages, settings.held_out)
    return replace(manifest, split=split, fingerprint=fingerprint.of(split))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Makes the folder where it is missing, and keeps it for this process."""
    created = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {reason(error)}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(f"{folder} is being prepared by another process: wait, or name another folder.") from None
    try:
        for left in (path for ours in _OURS if ours.startswith(".") for path in folder.glob(ours)):
            left.unlink()  # half a file of a process that was killed
        yield
    finally:
        if created and not any(folder.iterdir()):
            folder.rmdir()
        os.close(handle)
