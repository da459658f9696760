"""What a person does on the page and sees there, and what the API says of the same."""

import re
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, Request, expect

LEVELS = [f"s{level}" for level in range(9)]


class Screen:
    """A page of the playground.

    Attributes:
        page: Playwright's.
        url: where it is served.
        expected: parts of the complaints in the console that a test provokes.
        http: a client of the same server.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.expected: list[str] = []
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self.asked: list[dict[str, Any]] = []  # the bodies of predict calls
        page.on("request", self._note)

    def owns(self, url: str) -> bool:
        """Whether a request is one to the page's own origin."""
        return url.startswith(f"{self.url}/")

    def open(self, fragment: str = "") -> None:
        """Opens the page, and waits until its first model is known."""
        self.page.goto(f"{self.url}/{fragment}")
        expect(self.page.locator("#setting-seed")).to_be_attached()

    def choose(self, mode: str, model: str = "ends") -> None:
        """Chooses a mode and the model."""
        self.page.locator(f"#modes input[value={mode}]").check(force=True)
        self.page.locator("#model-0-name").select_option(model)
        expect(self.page.locator("#model-0-version option").nth(1)).to_be_attached()

    def run(self) -> None:
        """Runs, and waits for the end, whichever it is."""
        self.page.locator("#run").click()
        self.wait()

    def judge(self, mode: str, text: str, model: str = "ends") -> None:
        """Has a text judged."""
        self.choose(mode, model)
        self.page.get_by_label("Text to judge").fill(text)
        self.run()

    def wait(self) -> None:
        """Waits until nothing runs."""
        expect(self.page.locator("#results")).to_have_attribute("aria-busy", "false")

    def set(self, **settings: object) -> None:
        """Types settings."""
        for name, value in settings.items():
            field = self.page.locator(f"#setting-{name}")
            if isinstance(value, bool):
                field.set_checked(value)
            else:
                field.fill(str(value))

    def card(self, index: int = 0) -> Locator:
        return self.page.locator("article.card").nth(index)

    def chars(self, index: int = 0) -> Locator:
        """The coloured characters of a text."""
        return self.card(index).locator(".c")

    def text(self, index: int = 0) -> str:
        """What was written or judged, without the sign of an end."""
        return "".join(self.card(index).locator(".c:not(.end)").all_text_contents())

    def levels(self, index: int = 0) -> list[str]:
        """The classes that colour the characters."""
        classes = self.chars(index).evaluate_all("spans => spans.map(span => [...span.classList])")
        return [next(name for name in names if name in (*LEVELS, "unknown")) for names in classes]

    def choices(self) -> dict[str, str]:
        """What else might have been: percentages by the signs of the characters."""
        panel = self.page.locator("#inspector")
        signs = panel.locator(".choice b").all_text_contents()
        return dict(zip(signs, panel.locator(".choice span:last-child").all_text_contents(), strict=True))

    def alert(self) -> str:
        """What went wrong."""
        expect(self.page.locator("#alert")).to_be_visible()
        return re.sub(r"\s+", " ", self.page.locator("#alert p").first.inner_text())

    def generated(self, model: str = "ends", **given: Any) -> dict[str, Any]:
        """What the API's `generate` answers, with the defaults for what is not given."""
        return self.api(f"{model}:predict", "generate", [{**self.defaults(model), **given}])[0]

    def defaults(self, model: str = "ends") -> dict[str, Any]:
        signature = self.http.get(f"/v1/models/{model}/metadata").json()["metadata"]["signature_def"]["signature_def"]
        return {name: _value(tensor) for name, tensor in signature["generate"]["defaults"].items()}

    def api(self, path: str, signature: str, rows: list[Any]) -> list[Any]:
        """The predictions of a call, by rows."""
        answer = self.http.post(f"/v1/models/{path}", json={"signature_name": signature, "instances": rows})
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"]

    def _note(self, request: Request) -> None:
        if request.url.endswith(":predict") and request.post_data_json:
            self.asked.append(request.post_data_json)

    def asked_of(self, signature: str) -> list[dict[str, Any]]:
        """The inputs of the calls to a signature."""
        return [body["inputs"] for body in self.asked if body["signature_name"] == signature]


def _value(tensor: dict[str, Any]) -> Any:
    if tensor["dtype"] == "DT_STRING":
        return ""
    if tensor["dtype"] == "DT_BOOL":
        return tensor["bool_val"][0]
    return [*tensor["float_val"], *tensor["int_val"], *map(int, tensor["int64_val"]), 0][0]
