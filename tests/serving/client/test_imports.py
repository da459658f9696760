"""What a client loads: REST goes without TensorFlow and gRPC, and the package names are free."""

import subprocess
import sys

import pytest

import charflow.serving

LOADED = "import sys; sys.exit(', '.join(sorted({'tensorflow', 'grpc', 'httpx', 'numpy'} & set(sys.modules))) or 0)"


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import charflow.serving, charflow.serving.client", ""),
        ("from charflow.serving import AsyncClient, Client, ServingError", ""),
        ("from charflow.serving import Client; Client('127.0.0.1:1', 'rest').close()", "httpx"),
    ],
    ids=["package", "classes", "REST client"],
)
def test_imports_stay_light(code: str, loaded: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{code}\n{LOADED}"], capture_output=True, text=True)
    assert done.stderr.strip() == loaded


def test_every_public_name_is_there() -> None:
    assert charflow.serving.__all__ == sorted(charflow.serving._HOMES)
    for name in charflow.serving.__all__:
        assert getattr(charflow.serving, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Server'"):
        _ = charflow.serving.Server
