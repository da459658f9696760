"""Completions in the REST application: their errors, beside a core that answers nothing."""

import json

import pytest

from charflow.serving.embedded.rest.completions.answers import Completions
from tests.serving.embedded.rest.test_app import Echo, call, make_app

PATH = "/v1/completions"


@pytest.mark.parametrize("cors", [False, True])
def test_a_body_that_is_too_large_closes_the_connection(cors: bool) -> None:
    app = make_app(Echo(), completions=Completions(lambda: ["chat"]), max_body_bytes=10, enable_cors=cors)
    answer = call(app, "POST", PATH, b"x" * 11)
    assert (answer.status_code, answer.headers["connection"]) == (429, "close")
    assert answer.json()["error"] == {
        "message": "The request's body has more than 10 bytes",
        "type": "invalid_request_error",
        "param": None,
        "code": "resource_exhausted",
    }
    assert ("access-control-allow-origin" in answer.headers) == cors


def test_an_error_is_counted_once_and_keeps_the_connection() -> None:
    core = Echo()
    app = make_app(core, completions=Completions(lambda: ["chat"]))
    answer = call(app, "POST", PATH, json.dumps({"model": "nobody"}).encode())
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "connection" not in answer.headers
    assert [code for _, _, code in core.refused] == ["NOT_FOUND"]


def test_without_completions_their_paths_are_as_before() -> None:
    assert call(make_app(Echo()), "POST", PATH, b"{}").json() == {"error": f"Malformed request: POST {PATH}"}
