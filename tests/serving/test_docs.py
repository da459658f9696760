"""The pages on serving and their examples: flags exist, code compiles, bodies parse, tables are the code's."""

import ast
import json
import re

import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2

from charflow.cli.app import app
from charflow.export.signatures import RECORDS
from charflow.serving.settings.flags import FLAGS
from tests.support import ROOT

DOCS = ROOT / "docs"
PAGE = "\n".join((DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("serving", "server", "operations"))
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHELL = "\n".join(body for language, body in BLOCKS if language == "sh")


def section(heading: str) -> str:
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^#)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def flags_of(start: str) -> set[str]:
    """The flags of the bullet that begins with the word."""
    found = re.search(rf"^- \*\*{start}\*\*.*?(?=^- |^\n|\Z)", section("Flags"), re.MULTILINE | re.DOTALL)
    assert found, start
    return set(re.findall(r"`--(\w+)`", found[0]))


def test_page_lists_every_flag_where_it_belongs() -> None:
    assert flags_of("Honoured") == {flag.name for flag in FLAGS if flag.embedded and not flag.ours}
    assert flags_of("Refused by name") == {flag.name for flag in FLAGS if not flag.embedded}
    assert flags_of("Ours") == {flag.name for flag in FLAGS if flag.ours}


@pytest.mark.parametrize("command", ["serve", "complete", "promote", "export"])
def test_options_in_the_commands_exist(command: str) -> None:
    calls = re.findall(rf"charflow {command} ([^&\n]*)", SHELL.replace("\\\n", " "))
    assert calls
    used = {option for call in calls for option in re.findall(r"(?<=\s)--([\w-]+)", f" {call}")}
    assert used <= ({flag.name for flag in FLAGS} if command == "serve" else _options(command)), command


def _options(command: str) -> set[str]:
    import typer

    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    return {name.removeprefix("--") for option in known.params for name in option.opts}


@pytest.mark.parametrize(
    "source",
    [body for language, body in BLOCKS if language == "python"]
    + [path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("examples/*.py"))],
)
def test_python_compiles(source: str) -> None:
    ast.parse(source)


def bodies() -> list[dict]:
    found = re.findall(r"-d '(\{.*?\})'(?=[\s)])", SHELL.replace("'$PWD'", ""), re.DOTALL)
    assert len(found) > 5
    return [json.loads(body) for body in found]


def test_json_bodies_name_every_input() -> None:
    wanted = {record.name: {each.name for each in record.inputs} for record in RECORDS}
    refused = re.findall(r"-d '(.*?)' \$M", section("Errors"))
    asked = [body for body in bodies() if {"instances", "inputs"} & set(body) and "model_spec" not in body]
    over_rest = [body for body in asked if body not in map(json.loads, refused)]
    for body in over_rest:
        name = body.get("signature_name", "serving_default")
        for inputs in body.get("instances") or [body["inputs"]]:
            if isinstance(inputs, dict):
                assert set(inputs) == wanted[name]
            else:  # a value alone
                assert len(wanted[name]) == 1
    assert sum(body.get("signature_name") == "generate" for body in over_rest) == 2


def test_table_of_errors_is_that_of_the_server() -> None:
    from charflow.serving.http_status import HTTP_STATUS

    rows = re.findall(r"^\| ([A-Z_, ]+) \| (\d+) \|", section("Errors"), re.MULTILINE)
    assert {code: int(status) for codes, status in rows for code in codes.split(", ")} == HTTP_STATUS


def test_small_proto_has_the_names_and_numbers_of_the_official_ones() -> None:
    text = re.sub(r"//.*", "", (DOCS / "examples" / "predict.proto").read_text(encoding="utf-8"))
    request, answer = predict_pb2.PredictRequest.DESCRIPTOR, predict_pb2.PredictResponse.DESCRIPTOR
    tensor = request.fields_by_name["inputs"].message_type.fields_by_name["value"].message_type
    shape = tensor.fields_by_name["tensor_shape"].message_type
    official = {
        "Dim": shape.nested_types_by_name["Dim"],
        "TensorShapeProto": shape,
        "TensorProto": tensor,
        "ModelSpec": request.fields_by_name["model_spec"].message_type,
        "PredictRequest": request,
        "PredictResponse": answer,
    }
    assert request.file.package == re.search(r"package ([\w.]+);", text)[1]
    message = ""
    seen = 0
    for line in text.splitlines():
        if begins := re.match(r"\s*(?:message|enum) (\w+)", line):
            message = begins[1]
        elif found := re.search(r"(\w+) (\w+) = (\d+);", line):
            kind, name, number = found[1], found[2], int(found[3])
            if name == "dim":
                message = "TensorShapeProto"
            field = official[message].fields_by_name[name]
            assert field.number == number, name
            assert kind in {_TYPES.get(field.type), getattr(field.message_type or field.enum_type, "name", None)}, name
            seen += 1
        elif found := re.search(r"map<string, TensorProto> (\w+) = (\d+);", line):
            assert official[message].fields_by_name[found[1]].number == int(found[2])
            seen += 1
        elif found := re.search(r"(DT_\w+) = (\d+);", line):
            assert tensor.fields_by_name["dtype"].enum_type.values_by_name[found[1]].number == int(found[2])
            seen += 1
    assert seen == 22
    assert "Predict" in prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].methods_by_name


_TYPES = {2: "float", 3: "int64", 5: "int32", 9: "string", 12: "bytes"}  # of google.protobuf.FieldDescriptor
