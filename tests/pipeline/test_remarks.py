"""What is odd about a text, on texts that are odd in one way."""

from dataclasses import replace
from pathlib import Path

import pytest

from charflow.pipeline import remarks as module
from charflow.pipeline.corpus.corpus import Corpus, build_corpus
from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.prepared.corpus import PreparedCorpus
from charflow.pipeline.prepared.writing import prepare_corpus
from charflow.pipeline.remarks import remarks
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import Vocabulary

RARE = [chr(0x4E00 + index) for index in range(300)]  # Chinese characters
TALK = ["oh my dears, the toad is asleep again"] * 20_000
TOO_LITTLE = (
    "Too little is held out to judge by, or to choose the best weights by ({}): take more messages, or "
    "hold out a larger share of them."
)

CHATS = {
    "talk": (["oh my dears", "a plan", "more of it"], {}, []),
    "two messages": (["oh my", "oh my"], {}, []),
    "emoji": (["😀😀", "🌻", "👩‍💻 🌻"], {}, []),
    "rare": (
        [*TALK, "".join(RARE), "".join(RARE[:30])],
        {},
        [
            "300 of the 317 distinct characters occur less than 3 times and make 0.04% of the text: min_count=3 "
            "reads them as [UNK], for a smaller, faster model."
        ],
    ),
    "rare and left out": ([*TALK, "".join(RARE)], {"min_count": 2}, []),
    "too many to leave out": ([*TALK[:100], "".join(RARE)], {}, []),
    "most left out": (
        ["oh my dears", "a plan", "more of it"],
        {"min_count": 4},
        ["76% of the text reads as [UNK], which the model then writes as well: lower min_count."],
    ),
    "secrets": (
        ["@mira: http://a.example", "or http://b.example, mira@example.com"],
        {},
        ["The text holds 2 links, 1 e-mail address and 1 mention: scrub puts placeholders in their place."],
    ),
    "secrets, scrubbed": (["@mira: http://a.example"], {"text": TextSettings(scrub=True)}, []),
    "dates": (
        ["2014-07-20T22:14:20.114Z", "2014-07-21T08:01:59.001Z", "2015-01-01T00:00:00.000Z"],
        {},
        ["71% of the text are digits: if these are dates or ids, name the messages with text_column."],
    ),
    "ids": (
        ["54ee77ff15522ed4b3dc7cbb", "559b06ee15522ed4b3dd5d0a", "53fe42ff163965c9bc200fee"],
        {},
        ["56% of the text are digits: if these are dates or ids, name the messages with text_column."],
    ),
    "numbers in talk": (["1 plan", "the 2 toads", "at 10:30 then, by the gate"], {}, []),
    "all the same": (
        ["my chat"] * 9,
        {},
        ["All messages are the same: is this the column of the messages? Name another with text_column."],
    ),
    "almost all the same": ([*["my chat"] * 9, "my char"], {}, []),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["in memory", "prepared"])
@pytest.mark.parametrize("case", CHATS)
def test_remarks_name_what_is_odd(case: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, options, expected = CHATS[case]
    chat = tmp_path / "chat.csv"
    chat.write_text("fromUser.id,text\n" + "".join(f'mira,"{text}"\n' for text in texts))
    corpus: Corpus | PreparedCorpus
    if way == "in memory":
        corpus = Corpus.from_csv(str(chat), held_out=0.0, **options)
    else:
        monkeypatch.setattr(module, "_AT_ONCE", 100_000)
        settings = CorpusSettings(held_out=0.0, **options)
        corpus = prepare_corpus(str(chat), settings, tmp_path / "new")
    assert list(map(str, remarks(corpus))) == expected


@pytest.mark.parametrize(
    ("messages", "share", "characters"),
    [(20, 0.1, "19 characters"), (2, 0.1, "1 character"), (20, 0.0, ""), (2000, 0.1, "")],
    ids=["a few", "two messages", "none asked for", "enough"],
)
def test_remarks_name_a_tail_that_is_too_short_to_judge_by(
    messages: int, share: float, characters: str, tmp_path: Path
) -> None:
    texts = [f"plan {'abcdefghij'[index % 10]}{index % 7}xy" for index in range(messages)]
    chat = tmp_path / "chat.csv"
    chat.write_text("fromUser.id,text\n" + "".join(f"mira,{text}\n" for text in texts))
    corpus = Corpus.from_csv(str(chat), held_out=share)
    assert list(map(str, remarks(corpus))) == ([TOO_LITTLE.format(characters)] if characters else [])


@pytest.mark.slow
def test_remarks_on_the_real_chat(gitter_csv: str) -> None:
    rare, secrets = map(str, remarks(Corpus.from_csv(gitter_csv)))
    assert rare.startswith("809 of the 977 distinct characters occur less than 50 times and make 0.04% of the text:")
    assert secrets.startswith("The first 2,097,152 characters of the text hold 2,131 links, 29 e-mail addresses,")


def test_remarks_say_how_much_of_replies_is_only_read(tmp_path: Path) -> None:
    chat = tmp_path / "chat.csv"
    chat.write_text("fromUser.id,text\nbo,tea?\nmira,a cup please\nbo,cake?\nmira,no cake\n")
    corpus = Corpus.from_csv(str(chat), user="mira", held_out=0.5, text=TextSettings(reply=True))
    asked = "11 of the 32 characters are what others wrote before the answers, which is read and not learned."
    assert list(map(str, remarks(corpus))) == [asked, TOO_LITTLE.format("8 characters")]


def test_remarks_on_a_text_in_the_vocabulary_of_another_run(tmp_path: Path) -> None:
    talk = [*["oh my dears, how are the beans?"] * 100, *["ok!"] * 15]
    (tmp_path / "chat.csv").write_text("fromUser.id,text\n" + "".join(f'ada,"{text}"\n' for text in talk))
    settings = CorpusSettings(held_out_by="person", text=TextSettings(ends=True))
    whole = build_corpus(tmp_path / "chat.csv", settings)
    assert list(map(str, remarks(whole, judged=False, starts=True))) == [
        "The last messages are too short to judge by: some before them are judged, too, which the run that this one "
        "starts from may have learned."
    ]
    vocabulary = Vocabulary([char for char in whole.vocabulary.chars if char != "!"])
    other = build_corpus(tmp_path / "chat.csv", replace(settings, min_length=4), vocabulary=vocabulary)
    assert list(map(str, remarks(other, judged=False, starts=True))) == []
    new = build_corpus(tmp_path / "chat.csv", replace(settings, held_out=0), vocabulary=vocabulary)
    assert list(map(str, remarks(new, starts=True))) == [
        "15 characters of the text (0.46%) are new to the run that this one starts from, and read as [UNK]."
    ]
