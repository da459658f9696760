import pytest
from grpc import StatusCode

from charflow.serving.http_status import HTTP_STATUS, code_of


def test_http_status_is_tensorflow_servings() -> None:
    wanted = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429, "CANCELLED": 499, "UNKNOWN": 500}
    wanted |= {"UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504, "ABORTED": 409, "OUT_OF_RANGE": 400}
    assert {code: HTTP_STATUS[code] for code in wanted} == wanted


def test_http_status_has_every_canonical_code() -> None:
    assert {*HTTP_STATUS, "OK"} == {code.name for code in StatusCode}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (409, "ABORTED"),
        (413, "RESOURCE_EXHAUSTED"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (302, "UNKNOWN"),
    ],
)
def test_code_of_reads_what_a_server_or_a_proxy_says(status: int, code: str) -> None:
    assert code_of(status) == code
