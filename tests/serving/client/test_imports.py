"""What a client loads: never TensorFlow, REST goes without gRPC, and the package names are free."""

import subprocess
import sys
from typing import Any

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


CALLS = """
import asyncio
from charflow.serving import AsyncClient, Client

address, protocol = {address!r}, {protocol!r}
with Client(address, protocol, model="fake") as client:
    client.complete("a"), client.generate("a"), client.next_char("a"), client.score("a")
    client.status(), client.metadata(), "".join(client.stream("a"))

async def main():
    async with AsyncClient(address, protocol, model="fake") as client:
        await client.generate(["a", "b"]), [piece async for piece in client.stream("a")]

asyncio.run(main())
"""
TENSORFLOW = "import sys; assert not {name for name in sys.modules if name.split('.')[0] == 'tensorflow'}\n"


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_calls_load_no_tensorflow(servers: Any, protocol: str) -> None:
    code = CALLS.format(address=servers.addresses[protocol], protocol=protocol)
    done = subprocess.run([sys.executable, "-c", f"{code}{TENSORFLOW}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_command_loads_no_tensorflow(servers: Any, protocol: str) -> None:
    words = ["complete", "a", "--server", servers.addresses[protocol], "--model", "fake"]
    words += ["--rest"] if protocol == "rest" else []
    code = f"from charflow.cli.app import run\nassert run({words}) == 0\n{TENSORFLOW}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_promotion_loads_no_tensorflow() -> None:
    code = f"import charflow.serving.promotion.promote\n{TENSORFLOW}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_official_protos_can_be_loaded_after_the_clients() -> None:
    code = """
from charflow.serving import Client
Client("127.0.0.1:1").close()
from charflow.serving.protos import wire_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc
ours = wire_pb2.PredictRequest(model_spec={"name": "a"})
assert predict_pb2.PredictRequest.FromString(ours.SerializeToString()).model_spec.name == "a"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there() -> None:
    assert charflow.serving.__all__ == sorted(charflow.serving._HOMES)
    for name in charflow.serving.__all__:
        assert getattr(charflow.serving, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Server'"):
        _ = charflow.serving.Server
