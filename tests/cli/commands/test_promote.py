"""`charflow promote`: what it asks for and what it shows; the promotion itself is tested with serving's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from charflow.serving import Tls, Unreachable
from charflow.serving.client.wire.trouble import Trouble
from charflow.serving.errors import Unavailable, UsageError
from charflow.serving.promotion.comparison import Bits, Comparison, ComparisonSettings, Latency
from charflow.serving.promotion.promote import LabelPlace, Move, WorseError


def comparison(difference: float) -> Comparison:
    return Comparison(
        bits=Bits(
            incumbent=2.0, candidate=2.0 + difference, difference=difference, error=0.01, texts=1234, unknown=(3, 5)
        ),
        p50=Latency(incumbent=10.0, candidate=11.0, ratio=1.1, at_least=1.0),
        p99=Latency(incumbent=20.0, candidate=18.0, ratio=0.9, at_least=0.8),
        requests=200,
        max_slowdown=1.5,
    )


BETTER = Move(model="a", label="stable", before=1, after=2, comparison=comparison(-0.1))


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list:
    """Replaces the promotion and the way back by ones that move nothing; lists what they were given."""
    calls: list = []

    def promote(place: LabelPlace, version: int, comparing: ComparisonSettings | None, *, force: bool) -> Move:
        assert force is not bool(comparing)
        calls.append((place, version, comparing))
        return BETTER if comparing else Move(model="a", label=place.label, before=None, after=version)

    def rollback(place: LabelPlace) -> Move:
        calls.append((place, None, None))
        return Move(model="a", label=place.label, before=2, after=1)

    monkeypatch.setattr("charflow.serving.promotion.promote.promote", promote)
    monkeypatch.setattr("charflow.serving.promotion.promote.rollback", rollback)
    return calls


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "held-out.txt"
    path.write_text("\n\n".join(f"message {number} ♥" for number in range(20)), encoding="utf-8")
    return path


def test_promote_shows_both_versions(call: Callable, given: list, texts: Path) -> None:
    done = call("promote", "base", 2, "--texts", texts)
    assert (done.status, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["version", "1", "version", "2", "change"],
        ["bits", "per", "character,", "1,234", "texts", "2.000", "1.900", "-0.100", "±", "0.010"],
        ["unknown", "characters", "3", "5", "+2"],
        ["p50", "of", "200", "completions", "10.0", "ms", "11.0", "ms", "x", "1.10"],
        ["p99", "of", "200", "completions", "20.0", "ms", "18.0", "ms", "x", "0.90"],
        ["stable", "of", "a:", "version", "1", "->", "version", "2."],
    ]


def test_promote_has_the_settings_of_the_design(call: Callable, given: list, texts: Path) -> None:
    assert call("promote", "base", 2, "--texts", texts).status == 0
    ((place, version, comparing),) = given
    assert place == LabelPlace(base=Path("base"), label="stable", server="127.0.0.1:8500")
    assert version == 2
    assert comparing == ComparisonSettings(
        texts=[f"message {number} ♥" for number in range(20)], prompts=[""], requests=200
    )


def test_promote_gives_on_its_options(call: Callable, given: list, texts: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("how do i \nwhy\n")
    options = [
        *["--label", "canary", "--server", "host:1", "--config", "server.config", "--model", "z", "--texts", texts],
        *["--prompts", prompts, "--samples", 30, "--max-slowdown", 2.5, "--tls", "--ca", "ca.pem"],
        *["--cert", "client.pem", "--key", "client.key"],
    ]
    assert call("promote", "base", 7, *options).status == 0
    ((place, version, comparing),) = given
    tls = Tls(ca=Path("ca.pem"), cert=Path("client.pem"), key=Path("client.key"))
    assert place == LabelPlace(
        base=Path("base"), label="canary", server="host:1", config=Path("server.config"), model="z", tls=tls
    )
    assert (version, comparing.prompts, comparing.requests, comparing.max_slowdown) == (
        7,
        ["how do i ", "why"],
        30,
        2.5,
    )


@pytest.mark.parametrize(
    ("options", "tls"),
    [([], None), (["--tls"], Tls()), (["--ca", "ca.pem"], Tls(ca=Path("ca.pem")))],
    ids=["plain", "roots of the system", "an authority"],
)
def test_promote_encrypts_where_asked(call: Callable, given: list, options: list[str], tls: Tls | None) -> None:
    assert call("promote", "base", 1, "--force", *options).status == 0
    assert call("promote", "base", "--rollback", *options).status == 0
    assert [place.tls for place, *_ in given] == [tls, tls]


def test_promote_json_has_the_comparison(call: Callable, given: list, texts: Path) -> None:
    done = call("promote", "base", 2, "--texts", texts, "--json")
    assert (done.status, done.err) == (0, "")
    found = done.json["comparison"]
    assert {key: value for key, value in done.json.items() if key != "comparison"} == {
        **{"model": "a", "label": "stable", "before": 1, "after": 2, "moved": True},
    }
    assert (found["bits"]["candidate"], found["p99"]["ratio"], found["faults"]) == (1.9, 0.9, [])


@pytest.mark.parametrize("json", [False, True], ids=["table", "json"])
def test_promote_shows_why_it_refuses(call: Callable, texts: Path, monkeypatch: pytest.MonkeyPatch, json: bool) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise WorseError(Move(model="a", label="stable", before=1, after=2, comparison=comparison(0.25)))

    monkeypatch.setattr("charflow.serving.promotion.promote.promote", refuse)
    done = call("promote", "base", 2, "--texts", texts, *(["--json"] if json else []))
    assert done.status == 2
    assert done.err == (
        "charflow: Version 2 is worse than version 1: 0.250 more bits per character (± 0.010). "
        "'stable' stays with version 1; --force moves it all the same.\n"
    )
    if json:
        assert done.json["moved"] is False
        assert done.json["comparison"]["faults"] == ["0.250 more bits per character (± 0.010)"]
    else:
        assert "+0.250 ± 0.010" in done.out
        assert "->" not in done.out


def test_forced_promotion_has_nothing_to_show(call: Callable, given: list) -> None:
    done = call("promote", "base", 1, "--force")
    assert (done.status, done.out, done.err) == (0, "stable of a: new -> version 1.\n", "")
    assert call("promote", "base", 1, "--force", "--json").json["comparison"] is None
    assert [comparing for _, _, comparing in given] == [None, None]


def test_rollback_needs_no_version(call: Callable, given: list) -> None:
    done = call("promote", "base", "--rollback", "--label", "canary")
    assert (done.status, done.out, done.err) == (0, "canary of a: version 2 -> version 1.\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name the version: charflow promote BASE VERSION --texts FILE."),
        ([2, "--texts", "no.txt"], "no.txt cannot be read: No such file or directory."),
        ([2, "--force", "--cert", "client.pem"], "Pass a certificate and its key together."),
    ],
    ids=["no version", "no file", "no key"],
)
def test_promote_refuses_options_that_do_not_go_together(
    refused: Callable, given: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused("promote", "base", *arguments) == message
    assert given == []


def test_promote_refuses_texts_that_are_no_text(refused: Callable, given: list, tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9")
    assert refused("promote", "base", 2, "--texts", path) == (
        rf"{path}, line 1: 'caf\xe9' is not UTF-8 text: save it as UTF-8."
    )


@pytest.mark.parametrize(
    "error",
    [
        UsageError("No server answers there."),
        Unavailable("No server answers there."),
        Unreachable("there: a reason: pass tls=Tls(ca=...).", "No server answers there", Trouble.BAD_CERTIFICATE),
    ],
    ids=["usage", "call", "connection"],
)
def test_promote_shows_an_error_as_one_sentence(
    refused: Callable, texts: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("charflow.serving.promotion.promote.promote", fail)
    assert refused("promote", "base", 2, "--texts", texts) == "No server answers there."


def test_promote_reads_its_certificates_before_it_calls(refused: Callable, tmp_path: Path) -> None:
    base = tmp_path / "a"
    (base / "1").mkdir(parents=True)
    (base / "models.config").write_text('model_config_list { config { name: "a" base_path: "/a" } }')
    (tmp_path / "broken.pem").write_text("no certificate\n")
    command = ["promote", base, 1, "--force", "--server", "127.0.0.1:1", "--ca"]
    assert refused(*command, tmp_path / "broken.pem").startswith(
        f"{tmp_path}/broken.pem is no PEM file of certificates"
    )
    assert refused(*command, tmp_path / "no.pem") == f"{tmp_path}/no.pem: No such file or directory."
