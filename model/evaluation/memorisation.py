"""Reports what a trained network has learned by heart: text that it writes word for word, and planted numbers.

`chief` makes the report at the end of a run, of the best weights, and keeps it in `result.json`; `evaluate` and the
model card show it, `export` warns by it. It is about the training text, whoever wrote it, and it is no guarantee: what
was not written in these samples may be written in others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from charflow.model.canaries import canaries_of
from charflow.model.config import Config
from charflow.model.decoding.decoder import Decoder
from charflow.model.decoding.writer import Writer, learned_part
from charflow.model.evaluation.copy_check import LONG, find_copies
from charflow.model.evaluation.exposure import Exposure, exposure
from charflow.model.run.checkpoints import best_step
from charflow.model.run.run_dir import RunDir
from charflow.model.training_text import TrainingText
from charflow.pipeline.corpus.kept_texts import opening
from charflow.pipeline.errors import counted, quoted
from charflow.pipeline.marks import END, readable
from charflow.pipeline.vocabulary import Vocabulary

TEMPERATURES = (0.5, 1.0)
# Rows of each temperature, and characters: 20,000 in all, which takes a fraction of a second.
_TEXTS = (20, 500)
_ANSWERS = (100, 100)  # they are short, and what is behind one does not count
# Of what is written. Models of one person reached 0 to 3 %, beginnings of links for the most part; one that had learned
# a small chat by heart 4 to 15 %.
MOST_COPIED = 0.05
_AT_ONCE = 1 << 20  # ids
_SHOWN = 60  # characters of a run


@dataclass(frozen=True)
class Memorisation:
    """What is known to be learned by heart.

    Attributes:
        run_length: characters of a run that is counted as copied, at least.
        characters: written at each of `TEMPERATURES`, at least; of answers, up to their ends.
        copied: the share of them that lies in such runs, by temperature.
        compared: characters of the training text in which they were looked for.
        longest: characters of the longest run that stands in the training text, be it shorter.
        text: that run; it is left out of model cards.
        place: where it stands first.
        canaries: how exposed planted numbers are; None where none were asked for.
    """

    run_length: int
    characters: int
    copied: dict[str, float]
    compared: int
    longest: int
    text: str
    place: str
    canaries: Exposure | None


def memorised(
    decoder: Decoder, write: Writer, text: TrainingText, config: Config, progress: Callable[[str, float], None]
) -> Memorisation:
    """Lets a network write and compares that with its training text, and asks it for its canaries.

    Args:
        decoder: of the network.
        write: of the same decoder.
        text: what it was trained on; where several workers share that out, this one's part.
        config: of the run.
        progress: is told what is being done, and the share of it that is; what it raises ends it.
    """
    before, seed = opening(config.corpus.text), config.training.seed
    rows, chars = _ANSWERS if text.vocabulary.replies else _TEXTS
    temperatures = np.repeat(TEMPERATURES, rows).tolist()
    seeds = range(seed, seed + len(temperatures))
    ids = write(text.vocabulary.encode(before), chars, temperatures=temperatures, seeds=seeds)
    samples = [learned_part(row, text.vocabulary) for row in ids]
    found = find_copies(text, samples, partial(progress, "looking for copied text"))
    written, copied = (
        np.reshape(each, [len(TEMPERATURES), -1]).sum(axis=1) for each in (list(map(len, samples)), found.characters)
    )
    shares = copied / np.maximum(written, 1)
    return Memorisation(
        run_length=LONG,
        characters=int(written.min()),
        copied={f"{temperature:g}": share for temperature, share in zip(TEMPERATURES, shares.tolist(), strict=True)},
        compared=found.compared,
        longest=found.longest.length,
        text=readable(found.longest.text),
        place=_place(text, found.longest.corpus_start, found.longest.length),
        canaries=_exposure(decoder, text.vocabulary, config, before, partial(progress, "asking for planted numbers")),
    )


def report_of(run: RunDir) -> dict[str, Any] | None:
    """What the best weights of a run know by heart; None where nobody looked, as in a run that was stopped."""
    result = run.read_result()
    return result.get("memorisation") if result.get("best_step") == best_step(run.checkpoints) else None


def warnings_of(report: Mapping[str, Any] | None) -> list[str]:
    """Says in a sentence each what in a report, as `result.json` has it, speaks against giving a model away."""
    if not report:
        return []
    found = []
    if (share := max(report["copied"].values())) > MOST_COPIED:
        found.append(
            f"{share:.1%} of what the model writes stands in its training text in runs of {report['run_length']} "
            f"characters and more; the longest, {counted(report['longest'], 'character')}, is in {copied_from(report)}."
        )
    if (canaries := report["canaries"]) and canaries["known"]:
        found.append(
            f"the model knows {canaries['known']} of {counted(canaries['canaries'], 'planted number')} by heart, "
            f"each {counted(canaries['repeats'], 'time')} in its training text: it would know what people wrote as "
            "often."
        )
    return found


def copied_from(report: Mapping[str, Any]) -> str:
    """The place of the longest copy, and its text, which a folder for the hub leaves out."""
    place: str = report["place"]
    return f"{place}: {quoted(report['text'], _SHOWN)}" if report["text"] else place


def without_text(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A report for a model card, which goes where the training text should not."""
    return {name: value for name, value in report.items() if name != "text"} if report else None


def _exposure(
    decoder: Decoder, vocabulary: Vocabulary, config: Config, before: str, progress: Callable[[float], None]
) -> Exposure | None:
    training = config.training
    if not training.canaries:
        return None
    return exposure(
        decoder,
        vocabulary,
        canaries_of(training),
        repeats=training.canary_repeats,
        after=before,
        seed=training.seed,
        progress=progress,
    )


def _place(text: TrainingText, start: int, length: int) -> str:
    """The message that a run begins in, or the character where messages are not told apart."""
    if not length:
        return ""
    if END not in text.vocabulary.chars:
        return f"the training text from character {start + 1:,} on"
    end = text.vocabulary.encode(END)[0]
    starts = range(0, start, _AT_ONCE)
    before = sum(int((text.piece(each, min(_AT_ONCE, start - each)) == end).sum()) for each in starts)
    return f"message {before + 1:,} of the training text"
