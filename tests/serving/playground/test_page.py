"""The modes of the playground that judge, links and copies, errors, and who can use the page."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.serving.playground.screen import Screen
from tests.serving.playground.web_server import WebServer
from tests.serving.processes.server_process import ServerProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def web_server(server: ServerProcess) -> Iterator[WebServer]:
    web_server = WebServer(server.rest)
    yield web_server
    web_server.stop()


# --- which model


def test_model_version_and_label_are_chosen(screen: Screen) -> None:
    asked: list[str] = []
    screen.page.on("request", lambda request: asked.append(request.url.removeprefix(screen.url)))
    screen.open()
    assert screen.page.locator("#model-0-name option").all_text_contents() == ["ends", "answers", "plain"]
    expect(screen.page.locator("#model-0-version option")).to_have_text(["latest", "2", "1", "by label"])
    for choose, path in [("latest", ""), ("1", "/versions/1"), ("label", "/labels/stable")]:
        asked.clear()
        screen.page.locator("#model-0-version").select_option(choose)
        if choose == "label":
            screen.page.get_by_role("textbox", name="Label").fill("stable")
        screen.set(max_chars=1)
        screen.run()
        assert f"/v1/models/ends{path}/metadata" in asked
        assert [path for path in asked if path.startswith("/v1")][
            -1
        ] == f"/v1/models/ends/versions/{2 if choose == 'latest' else 1}:predict"


# --- links and copies


def write(screen: Screen) -> None:
    screen.choose("write")
    screen.page.locator("#prompt").fill("a & 'b' <c> #ü\n")
    screen.set(seed=2**62 + 1, temperature=1.5, max_chars=12)
    screen.run()


def four(screen: Screen) -> None:
    screen.choose("temperatures", "plain")
    screen.page.get_by_label("Temperature 2").fill("2.5")
    screen.set(seed=3, max_chars=12, stop="zz")
    screen.run()


def heat(screen: Screen) -> None:
    screen.judge("heat", 'it\'s <bad> & 100% "ü"\n')


def who(screen: Screen) -> None:
    screen.choose("who")
    screen.page.locator("#model-1-name").select_option("plain")
    screen.judge("who", "had")


Mode = pytest.mark.parametrize("mode", [write, four, heat, who], ids=lambda mode: mode.__name__)


def clipboard(screen: Screen, what: str, button: str) -> str:
    screen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    screen.page.get_by_role("button", name=button, exact=True).click()
    expect(screen.page.locator("#status")).to_have_text(f"{what} copied.")
    return screen.page.evaluate("navigator.clipboard.readText()")


def seen(page: Page) -> str:
    """What is on screen, without the time that it took."""
    expect(page.locator("#inspector .choice.written")).to_have_count(1)
    return page.locator("#results").inner_html() + page.locator("#inspector").inner_html()


@Mode
def test_link_reproduces_the_screen(screen: Screen, context: BrowserContext, mode: Callable[[Screen], None]) -> None:
    screen.open()
    mode(screen)
    screen.chars(1 if mode in (four, who) else 0).nth(2).hover()
    before = seen(screen.page)
    link = clipboard(screen, "Link", "Copy link")
    page = context.new_page()
    page.goto(link)
    expect(page.locator("#inspector")).to_be_visible()
    assert seen(page) == before
    assert page.evaluate(CONTROLS) == screen.page.evaluate(CONTROLS)
    pinned = page.locator("#model-0-version").input_value()
    assert pinned == page.locator("#model-0-version option").nth(1).get_attribute("value")  # what is latest now
    assert link.startswith(screen.page.url)  # what the address bar has, and the character that is looked at
    page.close()


CONTROLS = """() => [...document.querySelectorAll("input, select:not([id$=version]), textarea")]
    .filter(each => each.offsetParent).map(each => [each.id, each.value, each.checked])"""


def test_address_that_changes_in_an_open_page_changes_the_screen(screen: Screen) -> None:
    screen.open()
    screen.page.goto(f"{screen.url}/#mode=heat&model0.name=plain&text=bad")
    expect(screen.card().locator("h2")).to_have_text("plain")
    assert screen.text() == "bad"


@Mode
def test_copied_calls_give_what_is_on_screen(screen: Screen, mode: Callable[[Screen], None]) -> None:
    screen.open()
    mode(screen)
    python = subprocess.run(
        [sys.executable, "-c", clipboard(screen, "Python", "Copy as Python")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert python.returncode == 0, python.stderr
    if mode in (write, four):
        for index in range(4 if mode is four else 1):
            assert repr(screen.text(index)) in python.stdout
    else:
        bits = re.findall(r"'bits_per_char': ([\d.]+)", python.stdout)
        figures = screen.page.locator("article:not(.difference) .figures").all_text_contents()
        assert [f"{float(each):.2f} bits per character" for each in bits] == [each.split(" · ")[0] for each in figures]
    curl = clipboard(screen, "curl", "Copy as curl")
    assert len(shlex.split(curl.replace("\\\n", ""))) == (10 if mode is who else 5)
    if not shutil.which("curl"):
        pytest.skip("no curl: apt-get install curl")
    done = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.count('"predictions"') == (2 if mode is who else 1)
    assert '"error"' not in done.stdout


def test_what_may_not_be_copied_is_shown(screen: Screen) -> None:
    screen.open()
    screen.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    screen.page.get_by_role("button", name="Copy as curl").click()
    shown = screen.page.get_by_role("dialog", name="Copy this")
    expect(shown.get_by_role("textbox")).to_have_value(re.compile("^curl -s -d "))
    shown.get_by_role("button", name="Close").click()
    expect(shown).to_be_hidden()


# --- errors


def test_what_the_server_says_is_said(screen: Screen) -> None:
    screen.expected = ["status of 400", "status of 404"]
    screen.open()
    screen.page.locator("#model-0-version").select_option("label")
    screen.page.get_by_role("textbox", name="Label").fill("canary")
    screen.run()
    assert screen.alert() == "The server says (400): Unrecognized servable version label: canary"
    screen.page.get_by_role("textbox", name="Label").fill("stable")
    screen.page.locator("#alert").get_by_role("button", name="Try again").click()
    expect(screen.card()).to_be_visible()
    expect(screen.page.locator("#alert")).to_be_hidden()
    screen.page.goto(f"{screen.url}/#mode=write&model0.name=nobody&prompt=a")
    screen.page.reload()
    assert screen.alert().startswith("The server says (404): ")


def test_model_of_another_kind_is_said_to_be_one(screen: Screen) -> None:
    foreign = {
        "model_spec": {"name": "ends", "version": "1"},
        "metadata": {"signature_def": {"signature_def": {"serving_default": {}, "__saved_model_init_op": {}}}},
    }
    screen.page.route("**/metadata", lambda route: route.fulfill(json=foreign))
    screen.page.goto(screen.url)
    assert screen.alert() == (
        "That did not work: Model ends has no signature generate, stream, score, next_char; it has serving_default."
    )


def test_text_outlasts_a_server_that_goes_away(context: BrowserContext, web_server: WebServer) -> None:
    screen = Screen(context.new_page(), web_server.url)
    screen.page.goto(screen.url)
    screen.page.get_by_role("textbox", name="Name").fill("plain")
    screen.page.keyboard.press("Tab")
    expect(screen.page.locator("#setting-seed")).to_be_visible()
    calls = 0

    def handle(route) -> None:
        nonlocal calls
        calls += route.request.post_data_json["signature_name"] == "stream"
        if calls == 6:
            web_server.stop()
        route.continue_()

    screen.page.route(re.compile(":predict$"), handle)
    screen.run()
    host = web_server.url.removeprefix("http://")
    assert screen.alert() == f"Nobody there. The server at {host} does not answer."
    assert screen.chars().count() == 5
    web_server.start()
    screen.page.locator("#alert").get_by_role("button", name="Go on").click()
    expect(screen.page.locator("#status")).to_contain_text("24 characters in")
    assert screen.text() == screen.generated("plain", prompt="")["text"]


def test_name_is_typed_where_no_list_of_models_is_to_be_had(context: BrowserContext, web_server: WebServer) -> None:
    screen = Screen(context.new_page(), web_server.url)
    screen.page.goto(screen.url)
    screen.page.locator("#run").click()
    assert screen.alert() == "That did not work: Which model? Give its name, as the server knows it."
    screen.page.get_by_role("textbox", name="Name").fill("ends")
    screen.page.get_by_role("textbox", name="Name").press("Enter")
    expect(screen.page.locator("#model-0-version option")).to_have_text(["latest", "2", "1", "by label"])
    screen.wait()
    assert screen.text() == screen.generated(prompt="")["text"]


# --- everybody can use it


@pytest.mark.parametrize("by", ["ours", "another web server"])
def test_policy_is_obeyed(screen: Screen, web_server: WebServer, by: str) -> None:
    screen.expected = ["Content Security Policy"]
    screen.url = screen.url if by == "ours" else web_server.url
    screen.page.goto(screen.url)
    screen.page.evaluate(
        "() => { const script = document.createElement('script'); script.text = 'window.ran = true';"
        " document.head.append(script); document.body.setAttribute('style', 'color: red'); }"
    )
    assert screen.page.evaluate("window.ran") is None
    assert screen.page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"


@Mode
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(screen: Screen, mode: Callable[[Screen], None], scheme: str) -> None:
    screen.page.emulate_media(color_scheme=scheme)
    screen.open()
    mode(screen)
    screen.chars().first.hover()
    expect(screen.page.locator("#inspector")).to_be_visible()
    found = Axe().run(screen.page)
    assert found.violations_count == 0, found.generate_report()


def test_axe_finds_nothing_in_an_error(screen: Screen) -> None:
    screen.open()
    screen.set(temperature="")
    screen.run()
    screen.alert()
    found = Axe().run(screen.page)
    assert found.violations_count == 0, found.generate_report()


@Mode
def test_page_fits_a_phone(screen: Screen, mode: Callable[[Screen], None]) -> None:
    screen.page.set_viewport_size({"width": 320, "height": 640})
    screen.open()
    expect(screen.page.locator("#settings")).not_to_have_attribute("open", "")
    screen.page.locator("#settings summary").click()
    mode(screen)
    assert screen.page.evaluate("document.scrollingElement.scrollWidth") == 320


def test_keys_alone_do(screen: Screen) -> None:
    screen.open()
    keyboard = screen.page.keyboard
    screen.page.locator("#modes input:checked").focus()
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    expect(screen.page.get_by_label("Text to judge")).to_be_visible()
    for _ in range(3):
        keyboard.press("Tab")
    expect(screen.page.get_by_label("Text to judge")).to_be_focused()
    keyboard.type("bad")
    keyboard.press("Control+Enter")
    expect(screen.card()).to_be_visible()
    assert screen.text() == "bad"
