"""Which HTTP status stands for which canonical code, as TensorFlow Serving has it (http_rest_api_handler.cc).

The embedded server's REST door writes by this table, and the client reads by it.
"""

# Where several codes have one status, the first is what a client takes it for.
HTTP_STATUS: dict[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_OF_PROXIES = {413: "RESOURCE_EXHAUSTED", 502: "UNAVAILABLE"}  # too large a body; no server behind the proxy
_CODES = _OF_PROXIES | {status: code for code, status in reversed(HTTP_STATUS.items())}


def code_of(status: int) -> str:
    """Names the canonical code that an answer's status stands for.

    >>> code_of(409), code_of(418)
    ('ABORTED', 'UNKNOWN')
    """
    return _CODES.get(status, "UNKNOWN")
