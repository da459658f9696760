"""The modes of the playground: writing, looking at what else might have been written, and judging."""

import math
import re

import pytest
from playwright.sync_api import Route, expect

from tests.serving.playground.screen import Screen

pytestmark = pytest.mark.slow
PREDICT = re.compile(r":predict$")
TEXT = "A bad cab\nhad z"


def level(log_prob: float) -> str:
    return f"s{max(0, min(8, math.floor(0.5 - log_prob / math.log(2))))}"


def hold(screen: Screen, calls: int) -> list[Route]:
    """Lets so many calls of `stream` through; those after it are held."""
    held: list[Route] = []

    def handle(route: Route) -> None:
        nonlocal calls
        if route.request.post_data_json["signature_name"] != "stream":
            route.continue_()
        elif calls > 0:
            calls -= 1
            route.continue_()
        else:
            held.append(route)

    screen.page.route(PREDICT, handle)
    return held


@pytest.mark.parametrize("model", ["ends", "answers", "plain"])
def test_writes_what_generate_writes_and_colours_each_character(screen: Screen, model: str) -> None:
    screen.open()
    screen.choose("write", model)
    screen.page.locator("#prompt").fill("a b")
    screen.set(seed=5, max_chars=20)
    screen.run()
    written = screen.generated(model, prompt="a b", seed=5, max_chars=20)
    assert screen.text() == written["text"]
    assert screen.card().locator(".prompt").text_content() == "a b"
    ended = written["finish_reason"] == "end"
    assert screen.chars().count() == written["length"] + ended == len(screen.asked_of("stream"))
    prefixes = ["a b" + written["text"][:i] for i in range(written["length"])]
    rows = screen.api(f"{model}:predict", "next_char", prefixes)
    likely = [dict(zip(row["chars"], row["probabilities"])) for row in rows]
    expected = [level(math.log(each[char])) for each, char in zip(likely, written["text"])]
    assert screen.levels()[: len(expected)] == expected
    assert len(set(expected)) > 1
    bits = -written["log_prob"] / math.log(2) / (written["length"] + ended)
    assert f"{written['length']} characters · {bits:.2f} bits each" in screen.card().locator(".figures").inner_text()


def test_text_appears_as_it_is_written(screen: Screen) -> None:
    screen.open()
    screen.choose("write", "plain")
    held = hold(screen, 3)
    screen.page.locator("#run").click()
    expect(screen.chars()).to_have_count(3)
    expect(screen.page.locator("#results")).to_have_attribute("aria-busy", "true")
    expect(screen.page.locator("#status")).to_have_text("Working …")
    assert len(held) == 1  # a character a request, one request at a time
    screen.page.unroute_all(behavior="ignoreErrors")  # which lets it through
    screen.wait()
    assert screen.text() == screen.generated("plain", prompt="")["text"]


def test_stopped_text_goes_on_where_it_was(screen: Screen) -> None:
    screen.open()
    screen.choose("write", "plain")
    hold(screen, 4)
    screen.page.locator("#run").click()
    expect(screen.chars()).to_have_count(4)
    screen.page.locator("#stop").click()
    expect(screen.page.locator("#status")).to_have_text("Stopped.")
    screen.page.unroute_all(behavior="ignoreErrors")
    screen.page.locator("#go-on").click()
    expect(screen.page.locator("#status")).to_contain_text("24 characters in")
    assert screen.text() == screen.generated("plain", prompt="")["text"]


def test_every_setting_of_the_model_is_a_control_and_is_sent(screen: Screen) -> None:
    screen.open()
    screen.choose("write", "plain")
    given = {
        **{"max_chars": 3, "temperature": 1.25, "top_k": 4, "top_p": 0.75, "min_p": 0.5, "typical_p": 0.5},
        **{"seed": 2**62 + 1, "stop": "it's", "stop_at_end": False, "max_messages": 2},
    }
    assert set(given) == set(screen.defaults("plain"))
    fields = screen.page.locator("#settings-grid input").all()
    assert {field.get_attribute("id").removeprefix("setting-") for field in fields} == set(given)
    screen.set(**given)
    screen.run()
    assert len(screen.asked_of("stream")) == 3
    for inputs in screen.asked_of("stream"):
        assert {name: inputs[name][0] for name in given} == {**given, "max_chars": 1}
    first, second, _ = screen.asked_of("stream")
    assert (first["prompt"], second["prompt"], first["position"], second["position"]) == ([""], [""], [0], [1])
    assert set(first["state"][0]) == {0}
    assert screen.text() == screen.generated("plain", prompt="", **given)["text"]


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("temperature", "", "Please look again: temperature must be a number."),
        ("seed", "1.5", "Please look again: seed must be a whole number."),
        ("max_chars", "", "Please look again: max chars must be a whole number."),
    ],
)
def test_what_cannot_be_sent_is_said_and_not_sent(screen: Screen, name: str, typed: str, message: str) -> None:
    screen.open()
    screen.set(**{name: typed})
    screen.run()
    assert screen.alert() == message
    expect(screen.page.locator(f"#setting-{name}")).to_be_focused()
    assert screen.asked_of("stream") == []


def test_stop_string_ends_the_text(screen: Screen) -> None:
    screen.open()
    screen.choose("write", "plain")
    whole = screen.generated("plain", prompt="")["text"]
    screen.set(stop=whole[3:5])
    screen.run()
    assert screen.text() == whole[: whole.index(whole[3:5]) + 2]
    expect(screen.card().locator(".figures")).to_contain_text("stop was written")


def test_ends_are_shown_and_several_messages_are_lines(screen: Screen) -> None:
    screen.open()
    screen.set(temperature=1.5, max_chars=60, max_messages=2)
    seeds = (seed for seed in range(50) if _ends_twice(screen, seed))
    screen.set(seed=next(seeds))
    screen.run()
    assert screen.text().count("\n") == 1
    expect(screen.chars().last).to_have_text("end")
    place = screen.text().index("\n")
    for index in (place, place + 1):  # the end of the message, and what follows it
        screen.chars().nth(index).hover()
        expect(screen.page.locator("#inspector .choice.written span").last).to_have_text(_said(screen))


def _ends_twice(screen: Screen, seed: int) -> bool:
    found = screen.generated(prompt="", seed=seed, temperature=1.5, max_chars=60, max_messages=2)
    return found["finish_reason"] == "end" and not found["text"].endswith("\n") and "\n" in found["text"][1:]


def _said(screen: Screen) -> str:
    expect(screen.page.locator("#inspector")).to_be_visible()
    return re.search(r"(\S+ %)", screen.page.locator(".looked").first.evaluate(_VALUE))[1]


_VALUE = "span => span.closest('article').querySelector('input[type=range]').getAttribute('aria-valuetext')"


def test_pointing_at_a_character_shows_what_else_it_might_have_been(screen: Screen) -> None:
    screen.open()
    screen.page.locator("#prompt").fill("a")
    screen.run()
    text = screen.text()
    screen.chars().nth(4).hover()
    (row,) = screen.api("ends:predict", "next_char", ["a" + text[:4]])
    expect(screen.page.locator("#inspector .said")).to_contain_text("bits")
    signs = {" ": "␣", "[END]": "end"}
    assert list(screen.choices()) == [signs.get(char, char) for char in row["chars"][:10]]
    first, share = next(iter(screen.choices().items()))
    assert share == f"{100 * row['probabilities'][0]:.0f} %", first
    other = next(char for char in row["chars"] if char not in (text[4], "[END]", " "))
    screen.page.get_by_role("button", name=f"Write on with “{other}”").click()
    screen.wait()
    expect(screen.page.locator("#prompt")).to_have_value(f"a{text[:4]}{other}")
    assert screen.text() == screen.generated(prompt=f"a{text[:4]}{other}")["text"]


def test_keys_reach_every_character(screen: Screen) -> None:
    screen.open()
    screen.run()
    slider = screen.card().get_by_role("slider", name="Look at")
    slider.focus()
    for _ in range(3):
        screen.page.keyboard.press("ArrowRight")
    text, count = screen.text(), screen.chars().count()
    expect(slider).to_have_attribute("aria-valuetext", re.compile(f"^4 of {count}: .*, .* %, .* bits$"))
    expect(screen.chars().nth(3)).to_have_class(re.compile("looked"))
    expect(screen.page.locator("#inspector .choice.written")).to_have_count(1)
    assert screen.asked_of("next_char")[-1] == {"prompt": [f"\x03{text[:3]}"]}


def test_four_temperatures_are_written_side_by_side_in_one_batch(screen: Screen) -> None:
    screen.open()
    screen.choose("temperatures", "plain")
    expect(screen.page.locator("#setting-temperature")).to_be_hidden()
    screen.page.locator("#prompt").fill("b")
    screen.page.get_by_label("Temperature 4").fill("3")
    screen.set(seed=9, max_chars=12)
    screen.run()
    wanted = [0.2, 0.5, 1.0, 3.0]
    texts = [screen.generated("plain", prompt="b", seed=9, max_chars=12, temperature=each)["text"] for each in wanted]
    assert [screen.text(index) for index in range(4)] == texts
    assert len(set(texts)) > 1
    titles = screen.page.locator("h2").all_text_contents()[:4]
    assert titles == ["temperature 0.2", "temperature 0.5", "temperature 1.0", "temperature 3"]
    assert [len(inputs["prompt"]) for inputs in screen.asked_of("stream")] == [4] * 12
    boxes = [screen.card(index).bounding_box() for index in range(2)]
    assert boxes[0]["y"] == boxes[1]["y"]


def test_an_answer_is_to_what_it_answers(screen: Screen) -> None:
    screen.open()
    expect(screen.page.get_by_label("In answer to")).to_be_hidden()
    screen.choose("write", "answers")
    screen.page.get_by_label("In answer to").fill("a bad cab?")
    screen.page.locator("#prompt").fill("h")
    screen.run()
    assert screen.text() == screen.generated("answers", prompt="a bad cab?\x02h")["text"]
    screen.chars().nth(1).hover()
    expect(screen.page.locator("#inspector .choice.written span").last).to_have_text(_said(screen))


# --- judging


@pytest.mark.parametrize("model", ["ends", "answers", "plain"])
def test_heat_map_has_the_scores_of_the_characters(screen: Screen, model: str) -> None:
    screen.open()
    screen.judge("heat", TEXT, model)
    (score,) = screen.api(f"{model}:predict", "score", [TEXT])
    ends = model != "plain"
    assert screen.text() == TEXT
    assert screen.chars().count() == score["length"] == len(TEXT) + ends
    unknown = {index for index, char in enumerate(TEXT) if char == "z" or (char == "\n" and ends)}
    assert score["unknown_chars"] == len(unknown)
    bits = [-each / math.log(2) for each in score["char_log_probs"]]
    expected = [
        "unknown" if index in unknown else f"s{max(0, min(8, math.floor(each + 0.5)))}"
        for index, each in enumerate(bits)
    ]
    assert screen.levels() == expected
    figures = screen.card().locator(".figures")
    expect(figures).to_contain_text(f"{score['bits_per_char']:.2f} bits per character · {sum(bits):.0f} bits in all")
    expect(figures).to_contain_text(f"{len(unknown)} character{'s' * ends} unknown")
    for index in (0, 4):  # what else might have been there has the very probability of the map
        screen.chars().nth(index).hover()
        share = screen.page.locator("#inspector .choice.written span").last
        told = screen.card().get_by_role("slider").get_attribute("aria-valuetext")
        expect(share).to_have_text(re.search(r"\S+ %", told)[0])


def test_heat_map_shows_what_was_too_long_to_be_judged(screen: Screen) -> None:
    screen.open()
    screen.judge("heat", "ab" * 45)
    assert screen.chars().count() == 80
    assert screen.card().locator(".rest").text_content() == "ab" * 5
    expect(screen.card().locator(".figures")).to_contain_text("the rest is more than the model takes")


def test_heat_map_is_of_an_answer_where_there_is_a_question(screen: Screen) -> None:
    screen.open()
    screen.choose("heat", "answers")
    screen.page.get_by_label("In answer to").fill("cab?")
    screen.judge("heat", "bad", model="answers")
    assert screen.asked_of("score")[-1] == {"text": ["cab?\x02bad"]}
    assert screen.text() == "bad"


def test_two_models_are_compared_on_the_same_text(screen: Screen) -> None:
    screen.open()
    screen.choose("who", "plain")
    expect(screen.page.locator("#prompt")).to_be_hidden()
    screen.page.locator("#model-1-name").select_option("ends")
    screen.judge("who", "had a bad cab", model="plain")
    scores = [screen.api(f"{name}:predict", "score", ["had a bad cab"])[0] for name in ("plain", "ends")]
    totals = [-sum(score["char_log_probs"]) / math.log(2) for score in scores]
    first, second = sorted((0, 1), key=lambda index: totals[index])
    names = ("plain", "ends")
    verdict = screen.page.locator(".verdict").inner_text()
    assert verdict.startswith(
        f"{names[first]} would sooner say this than {names[second]}: {scores[first]['bits_per_char']:.2f} against "
        f"{scores[second]['bits_per_char']:.2f} bits per character, {abs(totals[0] - totals[1]):.1f} bits fewer in all"
    )
    assert [screen.text(0), screen.text(1)] == ["had a bad cab"] * 2
    one, other = (screen.card(index).bounding_box() for index in range(2))
    assert one["y"] == other["y"]


def test_versions_of_one_model_are_told_apart(screen: Screen) -> None:
    screen.open()
    screen.choose("who")
    screen.page.locator("#model-0-version").select_option("1")
    screen.page.locator("#model-1-name").select_option("ends")
    expect(screen.page.locator("#model-1-version option")).to_have_text(["latest", "2", "1", "by label"])
    screen.page.get_by_label("Text to judge").fill("bad")
    screen.run()
    expect(screen.page.locator(".verdict")).to_have_text("Both would say this alike.")
    assert screen.page.locator("h2").all_text_contents()[:3] == ["ends 1", "ends 2", "Between them"]
