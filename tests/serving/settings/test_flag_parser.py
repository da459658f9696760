"""Command lines read and written by the table of flags."""

import pytest

from charflow.serving.errors import UsageError
from charflow.serving.settings.flag_parser import embedded_flags, model_server_arguments, parse_flags
from charflow.serving.settings.flags import FLAGS, Flag, ServerFlags

DEFAULTS = {flag.name: flag.default for flag in FLAGS}
REAL = {flag.name: flag.default for flag in FLAGS if not flag.ours}
OURS = [flag.name for flag in FLAGS if flag.ours]
REFUSED = [flag.name for flag in FLAGS if not flag.embedded]


def parse(*arguments: str) -> dict:
    given = parse_flags(arguments, prog="charflow serve", rest_api_port=8501)
    assert given.pop("rest_api_port") == 8501
    return given


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--port=1"], {"port": 1}),
        (["--port", "1", "--model_name", "a b"], {"port": 1, "model_name": "a b"}),
        (["--load_retry_interval_micros", "-1"], {"load_retry_interval_micros": -1}),
        (["--per_process_gpu_memory_fraction=0.5"], {"per_process_gpu_memory_fraction": 0.5}),
        (
            ["--model_name=", "--grpc_channel_arguments=a=1,b=2"],
            {"model_name": "", "grpc_channel_arguments": "a=1,b=2"},
        ),
        (["--enable_batching", "--port=1"], {"enable_batching": True, "port": 1}),
        (["--enable_model_warmup=false"], {"enable_model_warmup": False}),
        (["--enable_model_warmup", "false"], {"enable_model_warmup": False}),
        (["--enable_batching=1", "--enable_profiler=0"], {"enable_batching": True, "enable_profiler": False}),
        (["--port=1", "--port=2"], {"port": 2}),
        (["--version"], {"version": True}),
    ],
    ids=[
        *[
            "none",
            "equals",
            "space",
            "negative",
            "fraction",
            "empty-and-equals-signs",
            "bare-boolean",
            "boolean-equals",
        ],
        *["boolean-space", "boolean-digits", "last-wins", "version"],
    ],
)
def test_parse_flags_returns_what_was_given(arguments: list[str], expected: dict) -> None:
    assert parse(*arguments) == expected


def test_parse_flags_takes_the_default_port_of_rest_from_the_command() -> None:
    assert parse_flags([], prog="p", rest_api_port=0) == {"rest_api_port": 0}
    assert parse_flags(["--rest_api_port=7"], prog="p", rest_api_port=0) == {"rest_api_port": 7}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--modle_name=a", "There is no flag --modle_name: the nearest is --model_name."),
        ("--model-base-path=/a", "There is no flag --model-base-path: the nearest is --model_base_path."),
        ("--por=1", "There is no flag --por: the nearest is --port."),
        ("--zzz", "There is no flag --zzz: see --help."),
        ("a", "Unexpected argument 'a': flags are given as --name=value."),
        ("-p", "Unexpected argument '-p': flags are given as --name=value."),
        ("--port=x", "--port must be a whole number, not 'x'. Try --help."),
        ("--port", "--port expected one argument. Try --help."),
        ("--enable_batching=maybe", "--enable_batching must be true or false, not 'maybe'. Try --help."),
        (
            "--per_process_gpu_memory_fraction=x",
            "--per_process_gpu_memory_fraction must be a number, not 'x'. Try --help.",
        ),
        ("--port=8501", "--port and --rest_api_port are both 8501: give one of them another number."),
    ],
)
def test_parse_flags_refuses_what_it_does_not_understand(argument: str, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse(argument)
    assert str(refusal.value) == message


def test_parse_flags_takes_the_flags_of_the_command_too() -> None:
    extra = [Flag(name="backend", default="auto", help="Which.")]
    assert parse_flags(["--backend=docker"], prog="p", rest_api_port=0, extra=extra)["backend"] == "docker"


def test_help_names_every_flag_with_its_default(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as leaving:
        parse("--help")
    assert leaving.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("Usage: charflow serve [--flag=value ...]")
    assert [name for name in DEFAULTS if f"--{name} " not in shown] == []
    assert "TCP port of REST; 0 is off. [default: 8501]" in shown
    assert "before it is available. [default: true]" in shown


@pytest.mark.parametrize("on", [True, False])
def test_help_has_what_the_command_does_with_the_playground(capsys: pytest.CaptureFixture, on: bool) -> None:
    with pytest.raises(SystemExit):
        parse_flags(["--help"], prog="p", rest_api_port=8501, embedded_only={"playground": on})
    shown = " ".join(capsys.readouterr().out.split())
    assert f"at / of REST. [default: {str(on).lower()}]" in shown
    assert parse_flags([], prog="p", rest_api_port=0, embedded_only={"playground": on}) == {"rest_api_port": 0}


def test_embedded_flags_are_the_given_ones() -> None:
    made = embedded_flags(parse("--model_base_path=/m", "--enable_batching", "--version=false"))
    assert made == ServerFlags(model_base_path="/m", enable_batching=True)


@pytest.mark.parametrize("name", REFUSED)
def test_flag_the_embedded_server_does_not_honour_is_refused_by_name(name: str) -> None:
    on = {bool: "true", int: "2", str: "some"}[type(DEFAULTS[name])]
    given = parse(f"--{name}={on}", "--model_base_path=/m")
    with pytest.raises(UsageError) as refusal:
        embedded_flags(given)
    assert str(refusal.value) == (
        f"--{name} is not honoured by the embedded server: leave it out, or run tensorflow_model_server."
    )


@pytest.mark.parametrize("name", REFUSED)
def test_flag_the_embedded_server_does_not_honour_may_be_off(name: str) -> None:
    off = {bool: "false", int: "0", str: ""}[type(DEFAULTS[name])]
    assert embedded_flags(parse(f"--{name}={off}", "--model_base_path=/m")) == ServerFlags(model_base_path="/m")


def test_arguments_for_tensorflow_model_server_read_the_same_again() -> None:
    given = {**REAL, "port": 1, "enable_batching": True, "model_name": "a b", "rest_api_port": 8501}
    arguments = model_server_arguments(given)
    assert "--enable_batching=true" in arguments
    assert parse_flags(arguments, prog="p", rest_api_port=0) == given


@pytest.mark.parametrize("name", OURS)
def test_arguments_for_tensorflow_model_server_hold_none_of_ours(name: str) -> None:
    with pytest.raises(UsageError) as refusal:
        model_server_arguments({name: DEFAULTS[name]})
    assert str(refusal.value) == (
        f"--{name} is only for the embedded server: leave it out, or take --backend embedded."
    )


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(UsageError) as error:
        parse_flags(["--model_base_path=/m/caf\udce9"], prog="p", rest_api_port=0)
    assert str(error.value) == (
        r"'--model_base_path=/m/caf\xe9' is not UTF-8 text: type it in a UTF-8 terminal, or rename the file."
    )
