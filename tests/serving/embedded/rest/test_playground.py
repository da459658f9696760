"""The playground's files as the REST door gives them, without a browser."""

import re
from pathlib import Path
from typing import Any

import pytest

from charflow.serving.embedded.rest.playground import MEDIA_TYPES, POLICY, Playground
from tests.serving.embedded.rest.test_app import PREDICT, Echo, call, make_app
from tests.support import ROOT

FOLDER = ROOT / "serving" / "embedded" / "playground"
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in FILES}


@pytest.fixture
def app() -> Any:
    return make_app(Echo(), playground=Playground(lambda: ["chat", "a/b"]))


def test_page_is_at_the_root_and_by_its_name(app: Any) -> None:
    page = call(app, "GET", "/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.text == TEXTS["index.html"]
    assert call(app, "GET", "/index.html?a=1").text == page.text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_served_with_its_type(app: Any, path: Path) -> None:
    answer = call(app, "GET", f"/{path.name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == MEDIA_TYPES[path.suffix[1:]]
    if path.name != "models.json":
        assert answer.content == path.read_bytes()


def test_models_are_those_of_the_server_now() -> None:
    names = ["a"]
    app = make_app(Echo(), playground=Playground(lambda: names))
    assert call(app, "GET", "/models.json").json() == ["a"]
    names.append("b")
    assert call(app, "GET", "/models.json").json() == ["a", "b"]
    assert TEXTS["models.json"] == "[]\n"  # for who serves the folder otherwise


@pytest.mark.parametrize("path", ["/", "/main.js", "/models.json"])
def test_browser_is_told_to_ask_nobody_else_and_to_run_nothing_else(app: Any, path: str) -> None:
    headers = call(app, "GET", path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        **dict.fromkeys(["default-src", "base-uri", "form-action", "frame-ancestors"], "'none'"),
        **dict.fromkeys(["script-src", "style-src", "img-src", "connect-src"], "'self'"),
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


def test_files_are_gzipped_for_who_takes_it(app: Any) -> None:
    packed = call(app, "GET", "/main.js", accept_encoding="gzip")
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert packed.text == TEXTS["main.js"]
    assert int(packed.headers["content-length"]) < len(packed.content) / 2


def test_head_has_no_body(app: Any) -> None:
    answer = call(app, "HEAD", "/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(TEXTS["index.html"].encode())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/nothing.js", "/..%2frest/app.py", "/%2e%2e/rest/app.py", "/rest/app.py")),
        *(("GET", path) for path in ("/playground", "/v1", "/main.js/", "/__init__.py")),
        ("POST", "/"),
        ("PUT", "/main.js"),
    ],
)
def test_all_else_is_not_found_in_the_words_of_the_api(app: Any, method: str, path: str) -> None:
    answer = call(app, method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json() == {"error": f"Not found: {path}"}


@pytest.mark.parametrize("path", ["/", "/index.html", "/main.js", "/models.json"])
def test_there_is_no_page_unless_it_is_asked_for(path: str) -> None:
    assert call(make_app(Echo()), "GET", path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", PREDICT, '{"instances": ["hi"]}'),
        ("POST", PREDICT, "no JSON"),
        ("GET", "/v1/models/chat", None),
        ("GET", "/v1/models/chat/metadata", None),
        ("GET", "/v1/models", None),
        ("GET", "/v1/", None),
        ("HEAD", "/v1/models/chat", None),
        ("OPTIONS", PREDICT, None),
    ],
)
def test_the_api_is_as_without_the_page(app: Any, method: str, path: str, body: str | None) -> None:
    with_page, without = (call(one, method, path, body) for one in (app, make_app(Echo())))
    assert (with_page.status_code, with_page.headers, with_page.content) == (
        without.status_code,
        without.headers,
        without.content,
    )


def test_page_has_nothing_inline_and_names_no_other_host() -> None:
    page = TEXTS["index.html"]
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=", page) == []
    for name, text in TEXTS.items():
        assert re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", text.replace("http://www.w3.org/2000/svg", "")) == [], name


def test_page_brings_the_policy_along_to_other_web_servers() -> None:
    (policy,) = re.findall(r"http-equiv=\"Content-Security-Policy\"\s+content=\"([^\"]+)\"", TEXTS["index.html"])
    assert f"{policy}; frame-ancestors 'none'" == POLICY


def test_every_file_is_used_and_all_that_are_used_are_there() -> None:
    named = re.findall(r"(?:src|href)=\"([^\"]+)\"", TEXTS["index.html"])
    for name, text in TEXTS.items():
        if name.endswith(".js"):
            named += re.findall(r"from \"\./([^\"]+)\"", text) + re.findall(r"besidePage\(\"([^\"]+)\"", text)
    assert {*named, "index.html"} == set(TEXTS)


def test_ids_that_the_modules_look_for_are_on_the_page() -> None:
    ids = re.findall(r" id=\"([^\"]+)\"", TEXTS["index.html"])
    assert len(ids) == len(set(ids))
    asked = {found for text in TEXTS.values() for found in re.findall(r"byId\(\"([^\"]+)\"\)", text)}
    assert len(asked) > 10
    assert asked <= set(ids)
