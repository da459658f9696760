"""`charflow explore`: what is in a chat, before anything is trained on it."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charflow.cli import noticed, options
from charflow.cli.modes import mode
from charflow.cli.terminal import console
from charflow.cli.terminal.tensorflow_log import load_tensorflow
from charflow.cli.terminal.waiting import waiting
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.errors import counted, is_plain, quoted, quoted_list, visible
from charflow.pipeline.marks import NAMES
from charflow.pipeline.settings import checked
from charflow.pipeline.tables import override

if TYPE_CHECKING:
    from charflow.pipeline.corpus.explore import ChatSummary, UserSummary
    from charflow.pipeline.corpus.secrets import Found
    from charflow.pipeline.formats.chat_format import LeftOut
    from charflow.pipeline.formats.messages import Messages

_MOST_ACTIVE = 10
_FIRST = 20
_COLUMNS = 80
_WIDEST_ID = 58  # columns of them, beside the figures; --json has ids whole
_WIDEST_BESIDE = 27  # of an id, and of its names, where there are both
_SHOWN_OF_ID = 32  # of a wider one, before the number of its characters


@checked
@mode("user", given=False, ignores=("window_length", "window_shift", "windows", "min_count", "text"))
@options.settings(CorpusSettings, only=("drop_users", "min_count", "text", "csv"))
def explore(
    data: options.Data,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Describe this user too, by id or name; several as one person."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the most active users here.")] = None,
    window_length: Annotated[
        int, typer.Option(metavar="N", help="Characters in a training window."), Bounds(at_least=1)
    ] = 40,
    window_shift: Annotated[int, typer.Option(metavar="N", help="Distance between windows."), Bounds(at_least=1)] = 3,
    windows: Annotated[
        int, typer.Option(metavar="N", help="Show the first N windows, and the next characters."), Bounds(at_least=0)
    ] = 0,
    changes: options.Changes = options.NO_CHANGES,
    json: options.Json = False,
) -> None:
    """Show who writes how much, and what training on a user would get."""
    load_tensorflow()
    from charflow.model.presets import preset
    from charflow.pipeline.corpus.corpus import build_corpus
    from charflow.pipeline.corpus.explore import check_plot, plot_users, summarise_chat, summarise_user
    from charflow.pipeline.corpus.users import with_ids
    from charflow.pipeline.formats.inputs import find_inputs
    from charflow.pipeline.formats.messages import read_messages
    from charflow.pipeline.remarks import remarks

    settings = override(preset("default").corpus, changes)
    if plot:
        check_plot(plot)
    described, odd = None, []
    with waiting("reading"):
        files = find_inputs(data)
        messages = read_messages(files, settings.csv)
        own = with_ids(replace(settings, users=tuple(user or ())), messages)
        chat = summarise_chat(messages, drop_users=own.drop_users)
        if ids := own.users:
            corpus = build_corpus(files, own, read=lambda: messages)
            cut = {"length": window_length, "shift": window_shift, "first_windows": windows}
            described = summarise_user(messages, corpus, ids, first=_FIRST, **cut)
            odd = remarks(corpus, judged=False)
    console.remark(odd)
    if plot:
        title = f"Most active of {counted(len(chat.users), 'user')}"
        if lacking := plot_users(chat.users.head(_MOST_ACTIVE), plot, title=title):
            boxes = f"{plot} shows boxes. Noto Sans CJK has most of the world."
            console.remark([f"no font here has {quoted_list(sorted(lacking))}: {boxes}"])
    noticed.warn(messages.noticed)
    if json:
        console.print_json(_figures(messages, chat, described))
        return
    _show(messages, chat)
    _show_secrets(chat.secrets, described.secrets if described else None)
    if described:
        _show_user(described, window_length, window_shift)
    if plot:
        console.out.print(f"\nBar chart: {plot}")


def _figures(messages: "Messages", chat: "ChatSummary", user: "UserSummary | None") -> dict[str, Any]:
    return {
        "rows": chat.rows,
        "users": len(chat.users),
        "characters": chat.characters,
        "dropped_rows": chat.bad_rows,
        "repeated_headers": messages.repeated_headers,
        "longest": messages.noticed.longest and asdict(messages.noticed.longest),
        "swallowing": [asdict(message) for message in messages.noticed.swallowing],
        "chats": [asdict(chat) for chat in messages.chats],
        "empty_messages": chat.empty,
        "most_active": chat.users.head(_MOST_ACTIVE).to_dict("records"),
        "secrets": [asdict(found) for found in chat.secrets],
        **({"user": asdict(user)} if user else {}),
    }


def _show(messages: "Messages", chat: "ChatSummary") -> None:
    console.pairs(
        console.out,
        [
            ("rows", f"{chat.rows:,}"),
            ("users", f"{len(chat.users):,}"),
            ("characters", f"{chat.characters:,}"),
            ("empty messages", f"{chat.empty:,}"),
            ("dropped rows", f"{chat.bad_rows:,}"),
            *([("repeated headers", f"{messages.repeated_headers:,}")] if messages.repeated_headers else []),
            *noticed.longest(messages.noticed),
        ],
    )
    for bad in messages.bad_rows[:3]:
        console.out.print(f"  {bad.path}, line {bad.line:,}: {bad.reason}")
    _show_left_out([left for chat_file in messages.chats for left in chat_file.left_out])
    console.out.print("\nMost active:")
    most = list(chat.users.head(_MOST_ACTIVE).itertuples())
    have_names = any(row.names for row in most)
    heads = ["user", *(["called"] if have_names else []), "messages", "characters"]
    rows = (_identity(row.user, row.names if have_names else None) for row in most)
    figures = ([f"{row.messages:,}", f"{row.characters:,}"] for row in most)
    console.columns(console.out, heads, [[*who, *counts] for who, counts in zip(rows, figures, strict=True)], right=2)


def _show_left_out(left_out: "list[LeftOut]") -> None:
    """Shows the first of each reason on a line of its own, so that the reasons are read down one column."""
    if not left_out:
        return
    reasons = [counted(left.count, left.reason) for left in left_out]
    room = _COLUMNS - max(map(len, reasons)) - 2
    examples = (console.cut(" ".join(visible(left.example).split()), room) for left in left_out)
    console.out.print()
    console.columns(console.out, ["left out", "such as"], list(zip(reasons, examples, strict=True)))


def _identity(user: str, names: list[str] | None) -> list[str]:
    """The id, and its names if the chat has names at all."""
    if names is None:
        return [_named(user)]
    return [console.cut(text, _WIDEST_BESIDE) for text in (_whole(user), ", ".join(map(_whole, names)))]


def _whole(user: str) -> str:
    """Quotes an id or a name where blanks or what cannot be seen would go unnoticed."""
    return user if is_plain(user) else quoted(user, len(user))


def _show_secrets(everybody: "list[Found]", own: "list[Found] | None") -> None:
    """Shows what --scrub would replace, or has replaced: the chat itself is looked at."""
    if not any(found.count for found in everybody):
        console.out.print("\nNothing that --scrub replaces was found.")
        return
    counts = [(own, "of the user"), (everybody, "of everybody")] if own else [(everybody, "of everybody")]
    console.out.print("\nWhat --scrub replaces:")
    console.columns(
        console.out,
        ["kind", "such as", *(whose for _, whose in counts)],
        [
            (found.kind, ", ".join(found.examples), *(f"{of_them[row].count:,}" for of_them, _ in counts))
            for row, found in enumerate(everybody)
            if found.count
        ],
        right=len(counts),
    )


def _named(user: str) -> str:
    """An id, quoted and cut where it would fill the screen."""
    if console.cell_len(_whole(user)) <= _WIDEST_ID:
        return _whole(user)
    return quoted(user, _SHOWN_OF_ID if console.cell_len(user[:_SHOWN_OF_ID]) <= _SHOWN_OF_ID else _SHOWN_OF_ID // 2)


def _show_user(user: "UserSummary", length: int, shift: int) -> None:
    console.out.print(f"\nUser {', '.join(map(_named, user.ids))}:")
    console.pairs(
        console.out,
        [
            ("messages", f"{user.messages:,}"),
            ("characters", f"{user.characters:,}"),
            ("distinct characters", f"{user.distinct_characters:,}"),
            ("training windows", f"{user.windows:,} of {counted(length, 'character')}, one every {shift}"),
            ("memory", f"{console.size(user.corpus_bytes)} (dense one-hot: {console.size(user.one_hot_bytes)})"),
        ],
    )
    console.out.print(f"\nFirst {counted(len(user.first), 'message')}:")
    for number, text in enumerate(user.first, 1):
        console.out.pair(f"{number:3d}  ", text)
    if user.first_windows:
        console.out.print(f"\nFirst {counted(len(user.first_windows), 'window')}, and the next character:")
    for number, window in enumerate(user.first_windows, 1):
        following = NAMES.get(window.next) or quoted(window.next)
        console.out.pair(f"{number:3d}  ", f"{quoted(window.text, length)} → {following}")
