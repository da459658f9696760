"""Writes a sample chat as CSV: the data of `charflow demo` and of the tests.

It stands before the flow: the file it writes looks like a chat export, and the rest of the pipeline reads it
as one. Every word of it was written for charflow. Sentences come from small grammars: a rule is a list of
alternatives, `{slot}` names another rule. The same seed gives the same chat on every machine.
"""

import csv
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from charflow.pipeline.settings import Natural, Seed, checked

SAMPLE_BOT = "buildbot"
SAMPLE_USERS: Mapping[str, str] = {
    "mira": "the most active: talks to her dears about garden and weather, ends with emoji",
    "tomas": "asks questions and always ends with ??",
    "ada": "plans in multi-line lists, some with tabs",
    "noor": 'quotes the others: as ada said: "..."',
    "bram": "SHOUTS IN CAPITALS!!!",
    "olena": "writes Ukrainian",
    SAMPLE_BOT: "posts the results of builds",
}

SAMPLE_ANSWERS: Mapping[str, str] = {  # what mira says to each question, and never anything else
    "is the tea ready?": "yes, with honey",
    "who has the key?": "the postman, i think",
    "what is growing?": "only the beans",
    "will it rain?": "not before june",
}

BrokenKind = Literal["too few fields", "unbalanced quote", "not UTF-8"]

_SHARES = {"mira": 40, "tomas": 13, "ada": 12, "noor": 11, "bram": 8, "olena": 8, SAMPLE_BOT: 8}  # per cent
_EMPTY_SHARE = 1 / 200  # of the people's messages; the bot always says something
_ROOMS = ("allotment", "workshop", "lobby")
_HEADER = ("", "fromUser.id", "id", "room", "sent", "text", "unread", "v")  # first the index pandas writes
_START = datetime(2024, 3, 1, 8, tzinfo=UTC)


def _alternatives(text: str) -> list[str]:
    return [" ".join(alternative.split()) for alternative in text.split("|")]


_GRAMMAR = {
    rule: _alternatives(text)
    for rule, text in {
        # mira
        "mira_opening": """oh my dears, | good morning my dears, | listen my dears, | ah, my dears,
            | goodness, my dears, | good evening my dears,""",
        "mira": """the {plants} are {doing} {place} | the {plants} are {doing} {place}, bless them
            | {weather} again, so the {plants} are {feeling}
            | {weather} this morning and the {plants} are {feeling}
            | i gave the {plants} a little {gift} and now they are {feeling}
            | the {animal} is asleep {place} and the {plants} are {feeling}
            | never trust the {sky} before {month} | we shall have {harvest} before {month}
            | whoever waters the {plants} will have {harvest}
            | come and see the {plants} {place}, they are {feeling}
            | the {animal} has eaten half of the {plants} again
            | nothing smells better than {plants} after the rain""",
        "plants": """tomatoes | beans | sunflowers | strawberries | pumpkins | roses | onions | peas
            | cabbages | potatoes | tulips | carrots | radishes | marigolds""",
        "doing": """growing | climbing | waking up | drinking the rain | blooming | dancing | hiding
            | dreaming""",
        "place": """behind the shed | under the old pear tree | by the garden gate | along the wall
            | next to the pond | in the greenhouse | near the compost""",
        "weather": "rain | sunshine | fog | soft wind | frost | thunder | a clear sky | warm mist",
        "feeling": """happy | thirsty | very proud | shivering | twice as tall | ready to bloom
            | glad of it""",
        "gift": "water | compost | sunshine | song | fresh straw | patience",
        "animal": "hedgehog | neighbour's cat | blackbird | toad | old goat",
        "sky": "sunshine | wind | clouds | moon | morning sky",
        "month": "april | may | june | july | august | september",
        "harvest": """soup for everyone | jam for the winter | a basket of berries
            | flowers on the table | a good year""",
        "mira_emoji": "🌱 | 🌻 | 🌧 | 🍅 | 🐝 | 🌈 | 🌱🌱 | 🌻🐝 | 🍓 | 🦔",
        # tomas
        "tomas": """does anyone know {unknown}?? | can somebody tell me {unknown}??
            | why is {thing} {state}?? | is it only me, or is {thing} {state}??
            | has anyone seen {thing}?? | who moved {thing}, and who knows {unknown}??
            | sorry to ask again, but who knows {unknown}?? | what happens if {thing} is {state}??""",
        "unknown": """how to open the window | where the meeting is | when the train leaves
            | who has the spare key | what we decided on friday | how long the soup must cook
            | whether the shop is open | why it is so quiet""",
        "thing": """the coffee machine | the printer | the ladder | the blue bicycle | the projector
            | the radio | the kitchen door | the lift""",
        "state": "broken | locked | so slow | wet | missing | upside down | humming | warm",
        # ada
        "list_title": """plan for {weekday} | shopping for {weekday} | to do before {month}
            | packing for the trip | agenda, {weekday}""",
        "weekday": "monday | tuesday | wednesday | thursday | friday | saturday | sunday",
        "list_item": """call the plumber | buy paper, pens and glue | book the room | return {thing}
            | bake two loaves | answer the letters | sharpen the saw | ask {person} for help
            | count the chairs | flour, salt, yeast | clean the windows | print the posters""",
        "person": "mira | tomas | noor | bram | olena",
        # noor
        "noor": """as <who> said: "<words>" and {agreeing} | as <who> said: "<words>", {agreeing}
            | "<words>" is what <who> said, {agreeing} | <who> wrote "<words>", {agreeing}""",
        "agreeing": """i could not agree more | i keep thinking about it
            | that should be on a poster | i doubt it | wiser words were never typed
            | my uncle says the opposite | let us vote on it""",
        # bram
        "bram": """who took my {food}!!! | {thing} is {state} again!!!
            | i said no {food} near {thing}!!! | best {food} of my life!!!
            | stop the noise, i am eating my {food}!!! | finally, {weekday}!!!
            | it is {weekday} and {thing} is still {state}!!!""",
        "food": "sandwich | pancakes | cheese | noodles | apple pie | pickles | chocolate",
        # olena
        "olena": """{uk_when} я хочу {uk_do}, а потім {uk_do}.
            | Дякую, {uk_name}, це {uk_which} думка! | У нас знову {uk_weather}, але {uk_comfort}.
            | Хто знає, де {uk_lost}? | Якщо буде {uk_weather}, я хочу {uk_do}.""",
        "uk_when": "Сьогодні | Завтра | У суботу | Після роботи | Увечері",
        "uk_do": """випити кави | зварити борщ | почитати книжку | погуляти біля річки
            | подзвонити бабусі | полагодити велосипед | спекти хліб | послухати музику""",
        "uk_name": "Міро | Адо | Томасе",
        "uk_which": "чудова | гарна | цікава | слушна | дивна",
        "uk_weather": "дощ | сніг | туман | вітер | спека",
        "uk_comfort": """кава ще гаряча | кіт спить спокійно | настрій добрий | хліб уже готовий
            | поїзд прийде вчасно""",
        "uk_lost": "мої ключі | мій зошит | моя парасоля | наш кіт | той рецепт",
        # the bot
        "build": """passed | passed in {minutes} min | failed: {step}, see the log
            | passed, deployed to {stage} | cancelled by {person}""",
        "minutes": "2 | 3 | 4 | 5 | 7 | 11",
        "step": "lint | unit tests | packaging | docs",
        "stage": "staging | production",
    }.items()
}
_SLOT = re.compile(r"\{(\w+)\}")


class SampleMessage(NamedTuple):
    """One message: its writer, its text (may be empty or span lines), its room, its time (ISO 8601, UTC)."""

    user: str
    text: str
    room: str
    sent: str


class BrokenRow(NamedTuple):
    """Where a broken row is (physical line of the file, the header is line 1) and what is wrong with it."""

    line: int
    kind: BrokenKind


BROKEN_KINDS: tuple[BrokenKind, ...] = get_args(BrokenKind)


@checked
def sample_messages(*, messages: Natural = 4000, seed: Seed = 0) -> list[SampleMessage]:
    """Returns `messages` messages of a chat among `SAMPLE_USERS`, about 90 characters each.

    A smaller count with the same seed is the beginning of the same chat. mira writes about 40 % of it.

        >>> [message.user for message in sample_messages(messages=3)]
        ['olena', 'olena', 'mira']

    Raises `UserError` if `messages` is negative.
    """
    rng = random.Random(f"sample chat {seed}")  # a string, because Random(-1) equals Random(1)
    users, shares = list(_SHARES), list(_SHARES.values())
    sent, heard, chat = _START, ("mira", "water the beans"), []
    for index in range(messages):
        user = rng.choices(users, shares)[0]
        empty = user != SAMPLE_BOT and rng.random() < _EMPTY_SHARE
        text = "" if empty else _write_as(user, rng, build=100 + index, heard=heard)
        sent += timedelta(seconds=rng.randint(5, 900))
        chat.append(SampleMessage(user, text, rng.choice(_ROOMS), sent.isoformat().replace("+00:00", "Z")))
        if text and user not in ("noor", SAMPLE_BOT):
            heard = (user, " ".join(text.split()[:8]).rstrip(",.:"))
    return chat


@checked
def write_sample_chat(
    path: str | Path, *, messages: Natural = 4000, seed: Seed = 0, broken_rows: Natural = 0
) -> list[BrokenRow]:
    r"""Writes `sample_messages` to `path` as CSV (UTF-8, `\n` line ends), and returns its broken rows.

    The columns are those of a chat export saved by pandas: an unnamed row index, `fromUser.id`, `id`, `room`,
    `sent`, `text`, `unread`, `v`. `broken_rows` more rows go to positions chosen by the seed, their kinds in
    the order of `BROKEN_KINDS`. Each is one physical line; without these lines the file equals the one of
    `broken_rows=0`. A reader that does not recover at the end of the line takes an unbalanced quote as the
    start of a field that goes on into the lines below.

        >>> write_sample_chat("chat.csv", messages=100, broken_rows=2)
        [BrokenRow(line=44, kind='too few fields'), BrokenRow(line=53, kind='unbalanced quote')]

    Raises `UserError` if a count is negative, `OSError` if `path` cannot be written.
    """
    chat = sample_messages(messages=messages, seed=seed)
    rng = random.Random(f"broken rows {seed}")
    positions = sorted(rng.choices(range(messages + 1), k=broken_rows))  # i: before message i; may repeat
    broken: list[BrokenRow] = []
    line = 2
    # surrogateescape writes the character U+DCE9 as the byte E9: how bytes that are not UTF-8 get in.
    with Path(path).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for index in range(messages + 1):
            while len(broken) < broken_rows and positions[len(broken)] == index:
                kind = BROKEN_KINDS[len(broken) % len(BROKEN_KINDS)]
                file.write(_broken_line(kind, index, rng))
                broken.append(BrokenRow(line, kind))
                line += 1
            if index < messages:
                user, text, room, sent = chat[index]
                writer.writerow((index, user, f"{index:024x}", room, sent, text, False, 1))
                line += 1 + text.count("\n")
    return broken


@checked
def write_sample_talk(path: str | Path, *, messages: Natural = 2000, seed: Seed = 0) -> None:
    """Writes a chat in which mira gives each of the others' questions its one answer (`SAMPLE_ANSWERS`), as CSV.

    Half of the messages are hers. What is asked before another question stays without an answer.

    Raises `UserError` if `messages` is negative, `OSError` if `path` cannot be written.
    """
    rng = random.Random(f"sample talk {seed}")
    others = [user for user in SAMPLE_USERS if user not in ("mira", SAMPLE_BOT)]
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("fromUser.id", "text"))
        asked = ""
        for _ in range(messages):
            if asked and rng.random() < 2 / 3:
                writer.writerow(("mira", SAMPLE_ANSWERS[asked]))
                asked = ""
            else:
                asked = rng.choice(list(SAMPLE_ANSWERS))
                writer.writerow((rng.choice(others), asked))


def _expand(rule: str, rng: random.Random) -> str:
    return _fill(rng.choice(_GRAMMAR[rule]), rng)


def _fill(template: str, rng: random.Random) -> str:
    return _SLOT.sub(lambda slot: _expand(slot[1], rng), template)


def _write_as(user: str, rng: random.Random, *, build: int, heard: tuple[str, str]) -> str:
    """Writes one message in the habit of `user`; `heard` is who spoke last and the first words of it."""
    match user:
        case "mira":
            sentences = ". ".join(_expand("mira", rng) for _ in range(rng.randint(1, 4)))
            return f"{_expand('mira_opening', rng)} {sentences} {_expand('mira_emoji', rng)}"
        case "ada":
            bullet = rng.choice(("- ", "- ", "*\t"))
            title, items = _expand("list_title", rng), rng.sample(_GRAMMAR["list_item"], rng.randint(2, 5))
            return "\n".join([f"{title}:", *(bullet + _fill(item, rng) for item in items)])
        case "noor":
            who, words = heard
            return _expand("noor", rng).replace("<who>", who).replace("<words>", words)
        case "bram":
            return _expand("bram", rng).upper()
        case _ if user == SAMPLE_BOT:
            return f"build #{build} {_expand('build', rng)}"
        case _:
            return _expand(user, rng)


def _broken_line(kind: BrokenKind, index: int, rng: random.Random) -> str:
    user = rng.choice(list(SAMPLE_USERS))
    start = f"{index},{user},{index:024x},{rng.choice(_ROOMS)}"
    sent = _START.isoformat().replace("+00:00", "Z")
    match kind:
        case "too few fields":
            return f"{start}\n"
        case "unbalanced quote":
            return f'{start},{sent},"{_expand("thing", rng)} is {_expand("state", rng)},False,1\n'
        case "not UTF-8":
            return f"{start},{sent},caf\udce9 \udcff\udcfe at the {_expand('food', rng)} stand,False,1\n"
