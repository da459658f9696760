"""`charflow complete`: prompts to a server, texts back."""

import io
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from charflow.serving import Client
from charflow.serving.client.client import DEFAULT_MODEL
from tests.serving.client.fake_model import Refused
from tests.serving.client.fake_servers import FakeServers

PROMPT = "how do i "


@pytest.fixture(scope="module")
def all_servers() -> Iterator[Any]:
    """The fake servers of the clients' tests."""
    started = FakeServers()
    yield started
    started.stop()


@pytest.fixture
def servers(all_servers: Any) -> Any:
    all_servers.reset()
    return all_servers


@pytest.fixture(params=["grpc", "rest"])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def to_server(servers: Any, protocol: str) -> list[str]:
    """Options that name the fake server."""
    return ["--server", servers.addresses[protocol], "--model", "fake", *(["--rest"] if protocol == "rest" else [])]


@pytest.fixture
def client(servers: Any, protocol: str) -> Iterator[Client]:
    with Client(servers.addresses[protocol], protocol, model="fake") as client:
        yield client


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return give


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("way", [[], ["--stream"]], ids=["at once", "stream"])
def test_complete_prints_the_prompt_and_what_follows(
    call: Callable, to_server: list[str], client: Client, way: list[str]
) -> None:
    done = call("complete", PROMPT, *to_server, *way)
    assert (done.status, done.out, done.err) == (0, f"{PROMPT}{client.generate(PROMPT).text}\n", "")


@pytest.mark.parametrize("way", [[], ["--stream"]], ids=["at once", "stream"])
def test_complete_obeys_every_option(call: Callable, to_server: list[str], client: Client, way: list[str]) -> None:
    options = ["--temperature", 1.5, "--top-k", 9, "--top-p", 0.75, "--seed", -2, "--stop", "e", "--length", 40]
    done = call("complete", PROMPT, *options, *to_server, *way)
    expected = client.generate(PROMPT, temperature=1.5, top_k=9, top_p=0.75, seed=-2, stop="e", max_chars=40)
    assert done.out == f"{PROMPT}{expected.text}\n"
    assert expected.finish_reason == "stop"


@pytest.mark.parametrize("way", [[], ["--stream"]], ids=["at once", "stream"])
def test_complete_count_goes_on_with_the_next_seeds(
    call: Callable, to_server: list[str], client: Client, way: list[str]
) -> None:
    done = call("complete", "a", "b", "--count", 2, *to_server, *way)
    expected = [(prompt, client.generate(prompt, seed=seed).text) for prompt, seed in zip("aabb", (5, 6, 7, 8))]
    assert done.out == "".join(f"{prompt}{text}\n" for prompt, text in expected)
    assert done.err.splitlines() == [
        "--- prompt 1 of 2, seed 5 ---",
        "--- prompt 1 of 2, seed 6 ---",
        "--- prompt 2 of 2, seed 7 ---",
        "--- prompt 2 of 2, seed 8 ---",
    ]


@pytest.mark.parametrize("way", [[], ["--stream"]], ids=["at once", "stream"])
def test_complete_tells_what_differs(call: Callable, to_server: list[str], way: list[str]) -> None:
    assert (
        call("complete", "a", "b", *to_server, *way).err
        == "--- prompt 1 of 2, seed 5 ---\n--- prompt 2 of 2, seed 6 ---\n"
    )
    assert call("complete", "a", "--count", 2, *to_server, *way).err == "--- seed 5 ---\n--- seed 6 ---\n"


def test_complete_sends_all_prompts_in_one_request(call: Callable, to_server: list[str], servers: Any) -> None:
    call("complete", "a", "b", "--count", 3, *to_server)
    assert [len(inputs["prompt"]) for _, _, inputs in servers.backend.asked] == [6]


def test_complete_json_has_every_completion(call: Callable, to_server: list[str], client: Client) -> None:
    done = call("complete", PROMPT, "--count", 2, "--stop", "", "--json", *to_server)
    assert (done.status, done.err) == (0, "")
    figures = json.loads(done.out)
    expected = [client.generate(PROMPT, seed=seed) for seed in (5, 6)]
    assert [(row["seed"], row["text"]) for row in figures["completions"]] == [
        (seed, text.text) for seed, text in zip((5, 6), expected)
    ]
    assert figures["completions"][0] == {
        "prompt": PROMPT,
        "seed": 5,
        "text": expected[0].text,
        "log_prob": -6.0,
        "length": 12,
        "finish_reason": "length",
    }
    assert figures["settings"] == {
        "max_chars": 12,
        "temperature": 0.5,
        "top_k": 0,
        "top_p": 1.0,
        "seed": 5,
        "stop": "",
    }
    assert figures["characters"] == 24
    assert figures["characters_per_second"] > 0


def test_complete_reads_prompts_from_standard_input(
    call: Callable, to_server: list[str], standard_input: Callable
) -> None:
    standard_input("oh my\nthe 🌻\n".encode())
    done = call("complete", "first", "-", "--json", *to_server)
    assert [row["prompt"] for row in done.json["completions"]] == ["first", "oh my", "the 🌻"]


def test_complete_without_a_prompt_begins_a_message(call: Callable, to_server: list[str], client: Client) -> None:
    assert call("complete", *to_server).out == client.generate("").text + "\n"


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TextIO]]:
    """Makes standard input a pipe; returns its other end."""
    ends: list[TextIO] = []

    def piped() -> TextIO:
        read, write = os.pipe()
        ends.extend((os.fdopen(read, encoding="utf-8"), os.fdopen(write, "w", encoding="utf-8")))
        monkeypatch.setattr("sys.stdin", ends[-2])
        return ends[-1]

    yield piped
    for end in ends:
        end.close()


def test_complete_without_a_prompt_reads_what_is_piped_in(
    call: Callable, to_server: list[str], piped: Callable[..., TextIO]
) -> None:
    with piped() as end:
        end.write("oh my\nthe 🌻\n")
    done = call("complete", "--json", *to_server)
    assert [row["prompt"] for row in done.json["completions"]] == ["oh my", "the 🌻"]
    assert done.err == ""


def test_complete_without_a_prompt_reads_a_file(
    call: Callable, to_server: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompts").write_text("oh my\n")
    with (tmp_path / "prompts").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        done = call("complete", "--json", *to_server)
    assert [row["prompt"] for row in done.json["completions"]] == ["oh my"]


def test_complete_with_a_prompt_leaves_standard_input_alone(
    call: Callable, to_server: list[str], piped: Callable[..., TextIO]
) -> None:
    piped()  # never closed: to read it would wait for ever
    assert [row["prompt"] for row in call("complete", "a", "--json", *to_server).json["completions"]] == ["a"]


@pytest.mark.parametrize("nothing", ["device", "empty pipe", "closed"])
def test_complete_takes_no_input_as_the_empty_prompt(
    call: Callable, to_server: list[str], piped: Callable[..., TextIO], monkeypatch: pytest.MonkeyPatch, nothing: str
) -> None:
    with Path(os.devnull).open() as device:
        if nothing == "empty pipe":
            piped().close()
        else:
            monkeypatch.setattr("sys.stdin", device if nothing == "device" else None)
        done = call("complete", "--json", *to_server)
    assert [row["prompt"] for row in done.json["completions"]] == [""]


def test_complete_does_not_read_a_terminal(
    call: Callable, to_server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keyboard, screen = os.openpty()
    with os.fdopen(keyboard, "wb"), os.fdopen(screen) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        done = call("complete", "--json", *to_server)
    assert [row["prompt"] for row in done.json["completions"]] == [""]


def test_complete_says_that_it_waits_for_a_pipe(
    call: Callable, to_server: list[str], piped: Callable[..., TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charflow.cli.prompts._PATIENCE", 0.05)
    end = piped()
    end.write("late")
    threading.Timer(0.5, end.close).start()
    done = call("complete", "--json", *to_server)
    assert [row["prompt"] for row in done.json["completions"]] == ["late"]
    assert done.err == "charflow: waiting for prompts on standard input; pass one as an argument to go on.\n"


def test_complete_refuses_a_pipe_that_is_not_utf8(
    refused: Callable, to_server: list[str], piped: Callable[..., TextIO]
) -> None:
    with piped() as end:
        end.buffer.write(b"caf\xe9\n")
    message = refused("complete", *to_server)
    assert message == r"Standard input, line 1: 'caf\xe9' is not UTF-8 text: save it as UTF-8."


@pytest.mark.parametrize(
    ("option", "version"), [(["--version", 3], 3), (["--label", "stable"], 3), ([], 4)], ids=["number", "label", "none"]
)
def test_complete_asks_for_the_version(
    call: Callable, to_server: list[str], servers: Any, client: Client, option: list[Any], version: int
) -> None:
    servers.backend.versions = [3, 4]
    texts = {}
    for number in (3, 4):
        texts[number] = call("complete", PROMPT, "--version", number, *to_server).out
    assert call("complete", PROMPT, *option, *to_server).out == texts[version] != texts[7 - version]


@pytest.mark.parametrize("rest", [[], ["--rest"]], ids=["grpc", "rest"])
@pytest.mark.slow
def test_complete_says_how_to_start_a_server(refused: Callable, free_port: int, rest: list[str]) -> None:
    assert refused("complete", "a", "--server", f"127.0.0.1:{free_port}", *rest) == (
        f"127.0.0.1:{free_port}: no server answers there (connection refused). Start one: charflow serve."
    )


def test_complete_says_that_the_other_protocol_answers(refused: Callable, servers: Any, protocol: str) -> None:
    if protocol == "grpc":
        address = servers.addresses["rest"]
        advice = "REST answers there, not gRPC. Pass --rest, or the gRPC port with --server (8500 by habit)."
    else:
        address = servers.addresses["grpc"]
        advice = "gRPC answers there, not REST. Leave out --rest, or pass the REST port with --server (8501 by habit)."
    rest = ["--rest"] if protocol == "rest" else []
    assert refused("complete", "a", "--server", address, *rest) == f"{address}: {advice}"


def test_complete_says_that_the_server_does_not_encrypt(refused: Callable, to_server: list[str]) -> None:
    assert refused("complete", "a", "--tls", *to_server) == (
        f"{to_server[1]}: what answers there is not TLS. Leave out --tls, --ca, --cert and --key."
    )


def test_complete_says_that_the_server_may_encrypt(refused: Callable, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        rest = ["--rest"] if protocol == "rest" else []
        assert refused("complete", "a", "--server", address, *rest) == (
            f"{address}: the server closed the connection without an answer. "
            "If it uses TLS, pass --ca FILE, and --cert FILE --key FILE if it asks for a certificate."
        )
        listener.shutdown(socket.SHUT_RDWR)


def test_complete_says_that_the_model_is_not_served(refused: Callable, servers: Any, protocol: str) -> None:
    options = ["--server", servers.addresses[protocol], *(["--rest"] if protocol == "rest" else [])]
    assert refused("complete", "a", *options) == (
        f"{servers.addresses[protocol]}: Servable not found for request: Latest({DEFAULT_MODEL}). "
        "Pass --model and --version as the server has them."
    )


def test_complete_says_that_the_time_is_up(
    refused: Callable, to_server: list[str], servers: Any, protocol: str
) -> None:
    servers.backend.delay = 0.5
    message = refused("complete", "a", "--timeout", 0.2, *to_server)
    assert message == f"{servers.addresses[protocol]}: no answer within 0.2 s."


def test_complete_passes_on_what_the_server_says(
    refused: Callable, to_server: list[str], servers: Any, protocol: str
) -> None:
    servers.backend.errors = [Refused("INTERNAL", "out of\nmemory.")]
    assert refused("complete", "a", *to_server) == f"{servers.addresses[protocol]}: out of."


OPTIONS: dict[str, tuple[list[Any], str]] = {
    "count": (["--count", 0], "--count must be at least 1 and at most 100,000, not 0."),
    "stream and json": (["--stream", "--json"], "--json is of no use with --stream: leave it out."),
    "temperature": (
        ["--temperature", "nan"],
        "--temperature must be a finite number of at least 0, not nan (0 is greedy).",
    ),
    "length": (["--length", -1], "--length must be at least 0, not -1."),
    "timeout": (["--timeout", 0], "--timeout must be a number of seconds above 0 and at most 1,000,000,000, not 0.0."),
    "version and label": (["--version", 1, "--label", "a"], "Pass a version or a label, not both."),
    "certificate alone": (["--cert", "a.pem"], "Pass a certificate and its key together."),
    "address": (["--server", "here"], "The address must be HOST:PORT, such as 127.0.0.1:8500, not 'here'."),
    "missing file": (["--ca", "no.pem"], "no.pem: No such file or directory."),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_complete_refuses_options_out_of_range(refused: Callable, to_server: list[str], case: str) -> None:
    options, message = OPTIONS[case]
    assert refused("complete", PROMPT, *to_server, *options) == message


def test_complete_needs_a_prompt_where_it_reads_one(
    refused: Callable, to_server: list[str], standard_input: Callable
) -> None:
    standard_input(b"")
    assert refused("complete", "-", *to_server) == "No prompt was found: the input is empty."


def test_complete_that_is_interrupted_ends_in_good_order(start: Callable, servers: Any, to_server: list[str]) -> None:
    servers.backend.delay = 0.2
    process = start("complete", PROMPT, "--stream", "--length", 100000, *to_server)
    assert process.stdout.read(len(PROMPT) + 1).startswith(PROMPT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "charflow: interrupted.\n")


@pytest.mark.slow
def test_limit_of_the_served_model_is_said_once(call: Callable, to_server: list[str], client: Client) -> None:
    done = call("complete", PROMPT, "more ", *to_server, "--length", 999_999)
    note = "this model writes at most 50 characters at once, fewer than 999,999: --stream goes on."
    assert done.status == 0
    assert done.err.count("note:") == 1 and f"charflow: note: {note}\n" in done.err
    texts = client.generate([PROMPT, "more "], max_chars=50)
    assert done.out == f"{PROMPT}{texts[0].text}\nmore {texts[1].text}\n"
    assert "note:" not in call("complete", PROMPT, *to_server, "--length", 50).err
    assert "note:" not in call("complete", PROMPT, *to_server, "--length", 999, "--stream").err
