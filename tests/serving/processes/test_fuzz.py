"""Arbitrary requests to the REST door: never a 500, and the server lives."""

import copy
import gzip
import json
import time
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import ServerProcess

SECONDS = 4.0  # for each of the two tests
CODES = {200, 400, 404, 501}  # of what a client can do wrong
ECHO = {"flag": [True], "small": [1], "large": [2], "byte": [3], "exact": [0.5], "text": ["a"]}
GENERATE = {"max_chars": [3], "temperature": [1.0], "top_k": [0], "top_p": [1.0], "seed": [1], "stop": [""]}
VALID: list[tuple[str, dict[str, Any]]] = [
    ("half_plus_two:predict", {"instances": [1.0, 2]}),
    ("half_plus_two/versions/123:predict", {"instances": [{"x": [1.0]}, {"x": [2.0]}]}),
    ("half_plus_two:regress", {"signature_name": "regress_x_to_y", "context": {"x": 1}, "examples": [{"x": [2.0]}]}),
    ("half_plus_two:classify", {"signature_name": "classify_x_to_y", "examples": [{"x": 1.0, "y": "a"}]}),
    ("pair/labels/stable:predict", {"inputs": {"x": [[1.0], [2.0]]}}),
    ("keras:predict", {"inputs": [[1.0, 2.0, 3.0]]}),
    ("words:predict", {"instances": ["one", {"b64": "dHdv"}]}),
    ("shapes:predict", {"instances": [[1.0, 2.0, 3.0]]}),
    ("shapes:predict", {"signature_name": "echo", "inputs": ECHO}),
    ("shapes:predict", {"signature_name": "half", "instances": [1.0]}),
    ("chat:predict", {"signature_name": "score", "instances": [{"text": "a"}, {"text": "b c"}]}),
    ("chat:predict", {"signature_name": "next_char", "inputs": {"prompt": ["a"]}}),
    ("chat:predict", {"signature_name": "generate", "inputs": {"prompt": ["a"], **GENERATE}}),
]
ODD = [None, True, {}, [], [[]], "", "a", {"b64": "YQ=="}, {"b64": "!"}, {"b64": 1}, 0, -1, 0.5, 1e39, 2**31, 2**64]
ODD += [10**400, float("nan"), float("-inf"), [1, "a"], [[1], [2, 3]], "\u0000", "\ud800"]
odd_values = st.sampled_from(ODD) | st.text(max_size=8) | st.floats() | st.lists(st.integers(), max_size=4)
odd_paths = st.sampled_from([f"/v1/models/{path}" for path, _ in VALID]) | st.text(max_size=20).map(
    lambda text: f"/v1/models/{quote(text)}"
)


def places_of(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [place for key in keys for place in [(node, key), *places_of(node[key])]]


@st.composite
def changed_requests(draw: st.DrawFn) -> tuple[str, bytes]:
    """A right request of which up to three values were replaced or doubled; path and body."""
    path, document = copy.deepcopy(VALID[draw(st.integers(0, len(VALID) - 1))])
    for _ in range(draw(st.integers(0, 3))):
        places = places_of(document)
        container, key = places[draw(st.integers(0, len(places) - 1))]
        odd = copy.deepcopy(draw(odd_values))
        if "max_chars" not in str((container, key)):  # a large one would be obeyed
            container[key] = [container[key], odd] if draw(st.booleans()) else odd
    return f"/v1/models/{path}", json.dumps(document).encode()


@st.composite
def damaged_bodies(draw: st.DrawFn) -> bytes:
    """JSON in which some bytes were cut out or put in."""
    _, body = draw(changed_requests())
    at = draw(st.integers(0, len(body)))
    return body[:at] + draw(st.binary(max_size=6)) + body[at + draw(st.integers(0, 6)) :]


def send(server: ServerProcess, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    response = server.http.request(method, path, content=body, headers=headers)
    shown = f"{method} {path} {headers} {body!r} -> {response.status_code} {response.text[:500]}"
    assert response.status_code in CODES, shown
    if method != "HEAD":
        answer = response.json()
        assert (response.status_code == 200) == ("error" not in answer), shown
    return response.status_code, shown


class Clock:
    """Lets the examples of one test pass unrun when its time is up; Hypothesis has no such bound of its own."""

    def __init__(self) -> None:
        self.end: float | None = None

    def is_over(self) -> bool:
        if self.end is None:
            self.end = time.monotonic() + SECONDS
        return time.monotonic() > self.end


def bounded(test: Any) -> Any:
    return settings(
        max_examples=600,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(test)


def test_rest_fuzz_of_wellformed_bodies(server: ServerProcess) -> None:
    clock, found = Clock(), []

    @bounded
    @given(changed_requests())
    def fuzz(request: tuple[str, bytes]) -> None:
        if not clock.is_over():
            found.append(send(server, "POST", *request, {})[0])

    fuzz()
    assert {200, 400} <= set(found)
    assert server.process.poll() is None
    assert server.columns("half_plus_two", {"x": [1.0]}) == [2.5]


def test_rest_fuzz_of_damaged_requests(server: ServerProcess) -> None:
    clock = Clock()
    encodings = st.sampled_from([{}, {"Content-Encoding": "gzip"}, {"Content-Type": "text/plain; charset=utf-16"}])

    @bounded
    @given(
        method=st.sampled_from(["POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "FROB"]),
        path=odd_paths,
        body=st.binary(max_size=60) | damaged_bodies() | damaged_bodies().map(gzip.compress),
        headers=encodings,
    )
    def fuzz(method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        if not clock.is_over():
            send(server, method, path, body, headers)

    fuzz()
    assert server.process.poll() is None
    assert server.columns("half_plus_two", {"x": [1.0]}) == [2.5]
