"""`charflow evaluate`: how good a run is, beside models that cost nothing."""

from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import options
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.pipeline.errors import counted

if TYPE_CHECKING:
    import numpy as np

    from charflow.model.config import Config
    from charflow.model.evaluation.evaluation import Evaluation
    from charflow.pipeline.corpus.corpus import Corpus
    from charflow.pipeline.formats.messages import Messages
    from charflow.pipeline.vocabulary import Vocabulary

_MOST_COUNTED = 1 << 25  # characters of a prepared training text that the baselines learn from


def evaluate(
    run: options.RunFolder,
    data: Annotated[
        list[str] | None, typer.Argument(metavar="DATA", help="Other CSV files. [default: the run's own]")
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", metavar="ID", help="Keep this user; repeat for several. [default: those of the run]"),
    ] = None,
    user_column: options.UserColumn = None,
    text_column: options.TextColumn = None,
    delimiter: options.Delimiter = None,
    no_header: options.NoHeader = None,
    encoding: options.Encoding = None,
    escape: options.Escape = None,
    skip_initial_space: options.SkipInitialSpace = None,
    skip_bad_rows: options.SkipBadRows = None,
    context: options.Context = "stream",
    cache: options.Cache = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Measure held-out bits per character and accuracy, beside n-gram and gzip baselines.

    On the run's own data it scores the held-out tail, as the end of training does. On other data it scores every
    message, of the users the run was trained on unless --user says otherwise; the baselines learn from the run's
    training text in both cases.
    """
    from charflow.pipeline.errors import SettingError

    csv = options.csv_changes(
        user_column, text_column, delimiter, no_header, encoding, escape, skip_initial_space, skip_bad_rows
    )
    if (given := options.given(users=user or None, **csv)) and not data:
        raise SettingError(
            "The run's own data is read as it was when it was trained: leave {given} out, or name the CSV files to "
            "score.",
            given=tuple(given),
        )
    load_tensorflow()
    from charflow.model.decoding.decoder import make_decoder
    from charflow.model.decoding.generator import load_network
    from charflow.model.evaluation.baselines import baselines
    from charflow.model.evaluation.evaluation import Evaluator
    from charflow.model.run.run_dir import RunDir
    from charflow.pipeline.corpus.cache import CorpusCache

    run_dir = RunDir(run)
    config, vocabulary = run_dir.load()
    store = None if no_cache else CorpusCache(cache)
    decoder = make_decoder(load_network(run_dir), context, config.training.window_length)  # type: ignore[arg-type]  # it checks the name
    with waiting("reading"):
        fingerprint = run_dir.corpus_facts()["fingerprint"]
        train_ids, ids, before, available = _texts(fingerprint, config, vocabulary, data, user, csv, store)
    with waiting("measuring"):
        found = Evaluator(decoder)(ids, before=before)
        beside = (
            baselines(train_ids, ids, vocabulary_size=vocabulary.size, decode=vocabulary.decode)
            if train_ids is not None
            else {}
        )
    if json:
        console.print_json({"run": str(run), "context": context, **asdict(found), "baselines": beside})
        return
    rows = [(f"charflow ({context})", found.bits_per_char), *beside.items()]
    console.columns(
        console.out,
        ["model", "bits per character"],
        [(name, f"{bits:.3f}") for name, bits in sorted(rows, key=lambda row: row[1])],
        right=1,
    )
    console.out.print(f"\n{scored(found, available)}")
    if not beside:
        console.out.print("Without the run's training text, or with one too long to count, there are no baselines.")
    best = min(beside.values(), default=None)
    if best is not None and best <= found.bits_per_char:
        console.out.print("A table of counts predicts this text better than the model: train longer, or on more text.")


def scored(found: "Evaluation", available: int) -> str:
    """Writes how often an evaluation was right, and on how much of the text that there is."""
    unknown = f", {found.unknown_characters:,} unknown ones left out" if found.unknown_characters else ""
    read = found.characters + found.unknown_characters
    part = f", the first {read:,} of {available:,}" if read < available else ""
    return f"accuracy {found.accuracy:.1%} on {counted(found.characters, 'character')}{unknown}{part}"


def _texts(
    fingerprint: str,
    config: "Config",
    vocabulary: "Vocabulary",
    data: list[str] | None,
    user: list[str] | None,
    csv: dict[str, Any],
    store: object,
) -> "tuple[np.ndarray | None, np.ndarray, np.ndarray, int]":
    """The run's training text, what to score, what comes before that, and how much there would be to score.

    The first is None where its files are gone, or where it is too long for the baselines.
    """
    import numpy as np

    from charflow.model.evaluation.evaluation import MOST_SCORED, RUN_UP
    from charflow.pipeline.corpus.corpus import SEPARATOR, build_corpus
    from charflow.pipeline.corpus.users import AbsentUserError
    from charflow.pipeline.errors import UserError
    from charflow.pipeline.files import is_prepared
    from charflow.pipeline.formats.inputs import STANDARD_INPUT, find_inputs
    from charflow.pipeline.formats.messages import read_messages
    from charflow.pipeline.prepared.corpus import PreparedCorpus
    from charflow.pipeline.sentences import Sentence

    own: Corpus | PreparedCorpus | None
    try:
        if STANDARD_INPUT in config.data:
            raise UserError(
                "The run was trained on standard input or a pipe, which cannot be read again: "
                "give the same text, or another, after the run's folder."
            )
        if is_prepared(config.data[0]):
            own = PreparedCorpus.open(config.data[0])
        else:
            own = build_corpus(config.data, config.corpus, store)  # type: ignore[arg-type]
    except UserError:
        if not data:
            raise
        own = None
    if own is not None and own.fingerprint != fingerprint:
        if not data:
            raise UserError(f"{', '.join(config.data)}: changed since the run was trained; name the data to score.")
        own = None
    if isinstance(own, PreparedCorpus):
        train_ids = own.read(0, own.split) if own.split <= _MOST_COUNTED else None
    else:
        train_ids = own.train_ids if own else None
    if not data:
        assert own is not None
        return train_ids, own.held_out_start(MOST_SCORED), own.train_end(RUN_UP), own.held_out_characters
    files = find_inputs(data)
    settings = replace(config.corpus, csv=replace(config.corpus.csv, **csv))
    if user:
        settings = replace(settings, users=tuple(user))
    read = cache(lambda: read_messages(files, settings.csv))
    if settings.drop_users:
        settings = replace(settings, drop_users=_present(settings.drop_users, read()))
    try:
        other = build_corpus(files, settings, store, read=read)  # type: ignore[arg-type]
    except AbsentUserError as error:
        if not user:
            error.advice = (Sentence("The run was trained on them: name others with {users}."),)
        raise
    if other.fingerprint == fingerprint:
        tail = other.held_out_start(MOST_SCORED)
        return other.train_ids, tail, other.train_end(RUN_UP), other.held_out_characters
    everything = build_corpus(files, replace(settings, held_out=0.0, fraction=1.0, min_count=1), store, read=read)  # type: ignore[arg-type]
    ids = vocabulary.encode(everything.vocabulary.decode(everything.ids))
    return train_ids, ids, np.asarray(vocabulary.encode(SEPARATOR)), len(ids)


def _present(left_out: tuple[str, ...], messages: "Messages") -> tuple[str, ...]:
    """Whom of those that the run left out this chat has: nobody is wrong here, as nobody named them for this chat."""
    from charflow.pipeline.errors import quoted_list
    from charflow.pipeline.formats.messages import count_users

    counts = count_users(messages)
    if absent := [user for user in left_out if user not in counts]:
        console.err.print(f"Not in this chat, of those whom the run left out: {quoted_list(absent)}.")
    return tuple(user for user in left_out if user in counts)
