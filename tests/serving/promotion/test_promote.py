"""`promote` and `rollback` against a server of their protocol whose versions have made-up scores and times."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from charflow.pipeline.errors import UserError
from charflow.serving import Tls
from charflow.serving.errors import ServingError, UsageError
from charflow.serving.promotion.comparison import ComparisonSettings
from charflow.serving.promotion.labels import LabelFiles
from charflow.serving.promotion.promote import LabelPlace, Move, WorseError, promote, rollback

TRIAL = ComparisonSettings(texts=[f"message {number}" for number in range(30)], requests=5, max_slowdown=100)
COMMENT = "# Mine.\n\n# Keep it.\n"


class FakeServer(model_service_pb2_grpc.ModelServiceServicer, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Serves model `a`; a version loads at once, and scores `bits[version]` for every text.

    It refuses a label for a version that is not available, as TensorFlow Serving does.
    """

    def __init__(self, versions: list[int], config: ModelServerConfig) -> None:
        self.versions, self.config = versions, config
        self.bits = dict.fromkeys(versions, 2.0)
        self.seconds = dict.fromkeys(versions, 0.0)
        self.load_errors: dict[int, str] = {}
        self.never_loaded: set[int] = set()
        self.reloads: list[ModelServerConfig] = []
        self.predictions: list[tuple[int, str]] = []
        self.on_predict: Callable[[], None] = lambda: None

    @property
    def loaded(self) -> list[int]:
        policy = self.config.model_config_list.config[0].model_version_policy
        wanted = {
            "specific": set(policy.specific.versions),
            "all": set(self.versions),
            "latest": set(sorted(self.versions)[-policy.latest.num_versions :]),
        }[policy.WhichOneof("policy_choice")]
        return sorted(wanted & set(self.versions) - set(self.load_errors) - self.never_loaded)

    @property
    def labels(self) -> dict[str, int]:
        return dict(self.config.model_config_list.config[0].version_labels)

    def GetModelStatus(self, request, context):  # noqa: N802
        if request.model_spec.name != "a":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        states = get_model_status_pb2.ModelVersionStatus
        answer = get_model_status_pb2.GetModelStatusResponse()
        for version in self.loaded:
            answer.model_version_status.add(version=version, state=states.AVAILABLE)
        for version, message in self.load_errors.items():
            added = answer.model_version_status.add(version=version, state=states.END)
            added.status.error_code, added.status.error_message = 5, message
        return answer

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        self.reloads.append(request.config)
        for label, version in request.config.model_config_list.config[0].version_labels.items():
            if version not in self.loaded:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"Request to assign label {label} to {version}")
        self.config = request.config
        return model_management_pb2.ReloadConfigResponse()

    def GetModelMetadata(self, request, context):  # noqa: N802
        answer = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
        if label := request.model_spec.version_label:
            if label not in self.labels:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
            answer.model_spec.version.value = self.labels[label]
        signatures = get_model_metadata_pb2.SignatureDefMap()
        signatures.signature_def["generate"].CopyFrom(meta_graph_pb2.SignatureDef())
        answer.metadata["signature_def"].Pack(signatures)
        return answer

    def Predict(self, request, context):  # noqa: N802
        version, signature = request.model_spec.version.value, request.model_spec.signature_name
        if version not in self.loaded:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Specific(a, {version})")
        self.predictions.append((version, signature))
        self.on_predict()
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        if signature == "score":
            lengths = [len(text) for text in inputs["text"]]
            outputs = {
                "bits_per_char": tf.constant([self.bits[version]] * len(lengths)),
                "char_log_probs": tf.zeros([len(lengths), max(lengths)]),
                "length": tf.constant(lengths),
                "unknown_chars": tf.zeros([len(lengths)], tf.int32),
            }
        else:
            time.sleep(self.seconds[version])
            outputs = {
                "text": tf.constant(["x" * int(inputs["max_chars"][0])]),
                "log_prob": tf.constant([-1.0]),
                "length": tf.constant(inputs["max_chars"]),
                "finish_reason": tf.constant(["length"]),
            }
        answer = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return answer


CONFIG = """\
model_config_list {
  config {
    name: "a"
    base_path: "/models/a"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 } }
    version_labels { key: "stable" value: 1 }
  }
}
"""

SEVERAL = 'model_config_list { config { name: "b" base_path: "/b" } config { name: "c" base_path: "/c" } }'


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Versions 1 to 4, of which models.config lists and labels the first."""
    folder = tmp_path / "a"
    for version in (1, 2, 3, 4):
        (folder / str(version)).mkdir(parents=True)
    (folder / "models.config").write_text(COMMENT + CONFIG)
    return folder


@pytest.fixture
def start(base: Path) -> Iterator[Callable[[], tuple[FakeServer, LabelPlace]]]:
    """Starts a server with models.config as it is then, encrypting if it is given credentials."""
    servers = []

    def start(credentials: grpc.ServerCredentials | None = None) -> tuple[FakeServer, LabelPlace]:
        fake = FakeServer([1, 2, 3, 4], config_in(base))
        server = grpc.server(futures.ThreadPoolExecutor(4))
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(fake, server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(fake, server)
        address = "127.0.0.1:0"
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        server.start()
        servers.append(server)
        return fake, LabelPlace(base=base, label="stable", server=f"127.0.0.1:{port}")

    yield start
    for server in servers:
        server.stop(None)


def config_in(base: Path) -> ModelServerConfig:
    return text_format.Parse((base / "models.config").read_text(), ModelServerConfig())


def labels_in(base: Path) -> dict[str, int]:
    return dict(config_in(base).model_config_list.config[0].version_labels)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as error:
        call()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
    return str(error.value)


def test_promote_moves_the_label_after_a_comparison(start: Callable, base: Path) -> None:
    fake, place = start()
    move = promote(place, 2, TRIAL)
    assert (move.model, move.label, move.before, move.after) == ("a", "stable", 1, 2)
    assert move.comparison.bits.difference == 0
    assert (fake.labels, fake.loaded) == ({"stable": 2}, [1, 2])
    assert config_in(base) == fake.config
    assert json.loads((base / "labels.json").read_text()) == {"a": {"stable": [1, 2]}}
    assert {version for version, _ in fake.predictions} == {1, 2}


def test_promote_first_loads_and_then_moves(start: Callable) -> None:
    fake, place = start()
    promote(place, 2, TRIAL)
    steps = [
        (list(model.model_version_policy.specific.versions), dict(model.version_labels))
        for model in (config.model_config_list.config[0] for config in fake.reloads)
    ]
    assert steps == [([1, 2], {"stable": 1}), ([1, 2], {"stable": 2})]


def test_promote_keeps_comments_and_other_models(start: Callable, base: Path) -> None:
    other = ' config { name: "b" base_path: "/models/b" model_platform: "tensorflow" }\n}\n'
    (base / "models.config").write_text(COMMENT + CONFIG.rstrip().removesuffix("}") + other)
    fake, place = start()
    promote(place, 2, TRIAL)
    assert (base / "models.config").read_text().startswith(COMMENT + "model_config_list {")
    assert [model.name for model in fake.config.model_config_list.config] == ["a", "b"]
    assert config_in(base) == fake.config


def test_promote_takes_its_configuration_from_another_file(start: Callable, base: Path, tmp_path: Path) -> None:
    fake, place = start()
    elsewhere = (base / "models.config").rename(tmp_path / "server.config")
    promote(LabelPlace(base=base, label="stable", server=place.server, config=elsewhere), 2, TRIAL)
    assert fake.labels == {"stable": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "labels.json", "server.config"]


@pytest.mark.parametrize(
    ("policy", "loaded"),
    [("latest { num_versions: 1 }", [2, 4]), ("all { }", [1, 2, 3, 4]), ("specific { versions: 3 }", [2, 3])],
    ids=["latest", "all", "specific"],
)
def test_promote_goes_on_serving_what_was_served(start: Callable, base: Path, policy: str, loaded: list[int]) -> None:
    text = CONFIG.replace("specific { versions: 1 }", policy).replace('version_labels { key: "stable" value: 1 }', "")
    (base / "models.config").write_text(text)
    fake, place = start()
    move = promote(place, 2, force=True)
    assert (move.before, move.after) == (None, 2)
    assert (fake.labels, fake.loaded) == ({"stable": 2}, loaded)


def test_promote_drops_what_a_label_stood_for_two_moves_ago(start: Callable, base: Path) -> None:
    fake, place = start()
    promote(place, 2, TRIAL)
    promote(place, 3, TRIAL)
    assert (fake.labels, fake.loaded) == ({"stable": 3}, [2, 3])
    assert config_in(base) == fake.config
    assert json.loads((base / "labels.json").read_text()) == {"a": {"stable": [1, 2, 3]}}


def test_promote_keeps_what_other_labels_need(start: Callable, base: Path) -> None:
    fake, place = start()
    canary = LabelPlace(base=base, label="canary", server=place.server)
    promote(canary, 1, force=True)
    promote(canary, 4, TRIAL)  # canary may go back to 1
    promote(place, 2, TRIAL)
    promote(place, 3, TRIAL)
    assert (fake.labels, fake.loaded) == ({"stable": 3, "canary": 4}, [1, 2, 3, 4])


def test_promote_refuses_more_bits(start: Callable, base: Path) -> None:
    fake, place = start()
    fake.bits[2] = 2.25
    before = (base / "models.config").read_text()
    with pytest.raises(WorseError) as error:
        promote(place, 2, TRIAL)
    assert str(error.value) == (
        "Version 2 is worse than version 1: 0.250 more bits per character (± 0.000). "
        "'stable' stays with version 1; force moves it all the same."
    )
    assert error.value.refused.comparison.bits.candidate == pytest.approx(2.25)
    assert (fake.labels, fake.loaded) == ({"stable": 1}, [1])
    assert (base / "models.config").read_text() == before
    assert not (base / "labels.json").exists()


def test_promote_refuses_a_slower_version(start: Callable, base: Path) -> None:
    fake, place = start()
    fake.seconds[2] = 0.05
    comparing = ComparisonSettings(texts=TRIAL.texts, requests=5, max_slowdown=2)
    assert "times the p50 latency (at most 2)" in refusal(lambda: promote(place, 2, comparing))
    assert labels_in(base) == fake.labels == {"stable": 1}


def test_forced_promotion_compares_nothing(start: Callable) -> None:
    fake, place = start()
    fake.bits[2] = 9.0
    assert promote(place, 2, force=True) == Move(model="a", label="stable", before=1, after=2)
    assert fake.labels == {"stable": 2}
    assert fake.predictions == []


def test_rollback_returns_step_by_step(start: Callable, base: Path) -> None:
    fake, place = start()
    promote(place, 2, TRIAL)
    promote(place, 3, TRIAL)
    assert rollback(place) == Move(model="a", label="stable", before=3, after=2)
    assert (fake.labels, fake.loaded) == ({"stable": 2}, [2])
    assert rollback(place).after == 1  # which had been unloaded
    assert (fake.labels, fake.loaded) == ({"stable": 1}, [1])
    assert config_in(base) == fake.config
    assert refusal(lambda: rollback(place)) == "No version had the label 'stable' before version 1."


def test_promote_back_and_rollback_forth(start: Callable) -> None:
    fake, place = start()
    promote(place, 2, TRIAL)
    promote(place, 1, TRIAL)
    assert rollback(place).after == 2
    assert fake.labels == {"stable": 2}


@pytest.mark.parametrize(
    ("remembered", "present", "history"),
    [([1, 2], 1, [1]), ([1, 2], 4, [1, 2, 4]), ([1, 2, 1], 1, [1, 2, 1]), ([], 3, [3]), ([1, 2, 1, 3], 1, [1, 2, 1])],
    ids=["write cut off", "moved by hand", "in step", "none", "last of two"],
)
def test_history_follows_the_models_config(base: Path, remembered: list[int], present: int, history: list[int]) -> None:
    (base / "models.config").write_text(CONFIG.replace("value: 1", f"value: {present}"))
    (base / "labels.json").write_text(json.dumps({"a": {"stable": remembered}}))
    files = LabelFiles.read(base / "models.config")
    assert files.history(files.model(None, "a"), "stable") == history


@pytest.mark.parametrize(
    ("label", "version", "message"),
    [
        ("stable", 9, "{base} has no version 9: it has 1, 2, 3, 4."),
        ("stable", 1, "'stable' is version 1 already."),
        ("canary", 2, "{base}/models.config has no label 'canary' (its labels are stable): force gives it to "
         "version 2 without a comparison."),
        ("a b", 2, "A label has letters, digits and underscores only, not 'a b'."),
    ],
    ids=["version", "same", "label", "label's letters"],
)  # fmt: skip
def test_promote_refuses_what_is_not_there(start: Callable, base: Path, label: str, version: int, message: str) -> None:
    fake, place = start()
    place = LabelPlace(base=base, label=label, server=place.server)
    assert refusal(lambda: promote(place, version, TRIAL)) == message.format(base=base)
    assert fake.reloads == []


def test_rollback_refuses_a_label_that_is_not_there(start: Callable, base: Path) -> None:
    _, place = start()
    place = LabelPlace(base=base, label="canary", server=place.server)
    assert refusal(lambda: rollback(place)) == f"{base}/models.config has no label 'canary'."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "{path} is not there: export a version, or give the server's file as config."),
        ("", "{path} lists no models."),
        ("model_config_list {", "Invalid protobuf file: '{path}': Error parsing text-format "),
        (CONFIG.replace('"a"', '"b"'), "127.0.0.1:1 tells nothing about model 'b': "),
        (SEVERAL, "{path} lists several models (b, c): name one as model."),
    ],
    ids=["missing", "empty", "damaged", "another model", "several models"],
)
def test_promote_refuses_a_models_config(start: Callable, base: Path, text: str | None, message: str) -> None:
    _, place = start()
    path = base / "models.config"
    path.unlink()
    if text is not None:
        path.write_text(text)
    expected = message.format(path=path).replace("127.0.0.1:1", place.server)
    assert refusal(lambda: promote(place, 2, TRIAL)).startswith(expected)


def test_promote_takes_the_model_that_is_named(start: Callable, base: Path) -> None:
    fake, place = start()
    place = LabelPlace(base=base, label="stable", server=place.server, model="z")
    assert refusal(lambda: promote(place, 2, TRIAL)) == f"{base}/models.config has no model 'z': its models are a."
    assert fake.reloads == []


@pytest.mark.parametrize("text", ["{", "[]", '{"a": {"stable": ["1"]}}', '{"a": {"stable": [0]}}', '{"a": 1}'])
def test_promote_refuses_a_damaged_labels_file(start: Callable, base: Path, text: str) -> None:
    fake, place = start()
    (base / "labels.json").write_text(text)
    assert refusal(lambda: promote(place, 2, TRIAL)).startswith(f"{base / 'labels.json'} is damaged (")
    assert fake.reloads == []


def test_promote_refuses_a_base_that_is_no_folder(tmp_path: Path) -> None:
    place = LabelPlace(base=tmp_path / "no", label="stable")
    assert refusal(lambda: promote(place, 2, TRIAL)) == f"{tmp_path / 'no'} is not a folder of versions."


def test_promote_says_that_no_server_answers(base: Path) -> None:
    place = LabelPlace(base=base, label="stable", server="127.0.0.1:1")
    assert refusal(lambda: promote(place, 2, TRIAL)) == (
        "No server answers at 127.0.0.1:1: start it, or name its gRPC address."
    )


@pytest.fixture
def own_certificate(tmp_path: Path) -> Tls:
    """A certificate for 127.0.0.1 that is its own authority, for the server and for the client."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl: install it to make a certificate")
    files = Tls(ca=tmp_path / "own.pem", cert=tmp_path / "own.pem", key=tmp_path / "own.key")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [*make, *name, "-keyout", str(files.key), "-out", str(files.cert)]
    subprocess.run(command, check=True, capture_output=True)
    return files


def server_credentials(files: Tls) -> grpc.ServerCredentials:
    key, cert = files.read(files.key), files.read(files.cert)
    return grpc.ssl_server_credentials([(key, cert)], cert, require_client_auth=True)


def test_promote_encrypts_every_call(start: Callable, own_certificate: Tls) -> None:
    fake, place = start(server_credentials(own_certificate))
    assert promote(replace(place, tls=own_certificate), 2, TRIAL).comparison is not None
    assert fake.labels == {"stable": 2}
    assert {version for version, _ in fake.predictions} == {1, 2}


def test_promote_says_that_the_server_may_encrypt(start: Callable, own_certificate: Tls) -> None:
    fake, place = start(server_credentials(own_certificate))
    assert refusal(lambda: promote(place, 2, TRIAL)) == (
        f"{place.server}: the server closed the connection without an answer. "
        "If it uses TLS, pass --ca FILE, and --cert FILE --key FILE if it asks for a certificate."
    )
    assert refusal(lambda: promote(replace(place, tls=Tls(ca=own_certificate.ca)), 2, TRIAL)) == (
        f"{place.server}: the server took part in TLS, then closed the connection. "
        "If it asks for a certificate, pass one that it trusts as --cert FILE --key FILE."
    )
    assert fake.reloads == []


def test_promote_says_that_the_server_does_not_encrypt(start: Callable, own_certificate: Tls) -> None:
    _, place = start()
    assert refusal(lambda: promote(replace(place, tls=own_certificate), 2, TRIAL)) == (
        f"{place.server}: what answers there is not TLS. Leave out --tls, --ca, --cert and --key."
    )


def test_promote_says_that_it_was_given_the_rest_port(base: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rest:

        def refuse() -> None:
            with rest.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        place = LabelPlace(base=base, label="stable", server=f"127.0.0.1:{rest.getsockname()[1]}")
        assert refusal(lambda: promote(place, 2, TRIAL)) == (
            f"{place.server}: REST answers there, not gRPC. Name its gRPC port (8500 by habit)."
        )


def test_promote_names_the_error_of_a_version_that_cannot_be_loaded(
    start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charflow.serving.client.model_service._OLD_ERROR_SECONDS", 0.1)
    fake, place = start()
    fake.load_errors[2] = "no variables\nin the folder"
    message = refusal(lambda: promote(place, 2, TRIAL))
    assert message == f"{place.server} cannot load version 2 of 'a': no variables in the folder."
    assert (fake.labels, fake.loaded) == ({"stable": 1}, [1])


def test_promote_gives_up_on_a_version_that_never_comes(start: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charflow.serving.promotion.promote._LOAD_SECONDS", 0.3)
    fake, place = start()
    fake.never_loaded.add(2)
    assert refusal(lambda: promote(place, 2, TRIAL)) == (
        f"{place.server} has not loaded version 2 of 'a' in 0.3 s: it must be in /models/a on the server, "
        "which must have been started with this configuration file."
    )
    assert (fake.labels, fake.loaded) == ({"stable": 1}, [1])


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), UserError("the disk is full.")], ids=["ctrl-c", "disk"])
def test_server_gets_its_configuration_back_when_the_file_cannot_be_written(
    start: Callable, base: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise raised

    fake, place = start()
    before = config_in(base)
    monkeypatch.setattr(LabelFiles, "write", fail)
    with pytest.raises(type(raised)):
        promote(place, 2, TRIAL)
    assert fake.config == config_in(base) == before


def test_server_gets_its_configuration_back_when_a_call_fails(start: Callable, base: Path) -> None:
    fake, place = start()

    def fail() -> None:
        raise RuntimeError

    fake.on_predict = fail
    with pytest.raises(ServingError):
        promote(place, 2, TRIAL)
    assert fake.config == config_in(base)
    assert labels_in(base) == {"stable": 1}


def test_promote_says_when_the_server_is_left_with_another_configuration(
    start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, place = start()
    fake.on_predict = lambda: fake.versions.remove(1) if 1 in fake.versions else None  # the labelled version is gone
    message = refusal(lambda: promote(place, 2, TRIAL))
    assert "And the server did not take its old configuration back: " in message
    assert "Request to assign label stable to 1." in message


def test_promote_refuses_versions_that_read_text_differently(start: Callable, base: Path) -> None:
    fake, place = start()
    for version, lowercase in ((1, False), (2, True)):
        card = base / str(version) / "assets.extra" / "model_card.json"
        card.parent.mkdir()
        card.write_text(json.dumps({"configuration": {"corpus": {"text": {"lowercase": lowercase}}}}))
    assert refusal(lambda: promote(place, 2, TRIAL)) == (
        "Versions 1 and 2 normalise text differently ({'lowercase': False} and {'lowercase': True}), so their bits per "
        "character have no common measure: force moves the label without a comparison."
    )
    assert fake.reloads == []
    assert promote(place, 2, force=True).after == 2


@pytest.mark.parametrize("way", [{}, {"comparing": TRIAL, "force": True}], ids=["neither", "both"])
def test_promote_compares_or_is_forced(start: Callable, way: dict) -> None:
    fake, place = start()
    with pytest.raises(UsageError) as error:
        promote(place, 2, **way)
    rest = ", messages that neither version was trained on, one a line; "
    assert str(error.value) == f"Pass texts{rest}force compares nothing."
    assert error.value.told(lambda name: f"--{name}") == f"Pass --texts{rest}--force compares nothing."
    assert fake.reloads == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ["a"] * 19}, "There are 19 texts to compare by: give at least 20."),
        ({"prompts": []}, "There are no prompts to compare by."),
        ({"requests": 0}, "requests must be at least 1, not 0."),
        ({"max_slowdown": 0.0}, "max_slowdown must be above 0, not 0."),
        ({"max_slowdown": float("nan")}, "max_slowdown must be above 0, not nan."),
    ],
    ids=["texts", "prompts", "requests", "slowdown", "not a number"],
)
def test_trial_refuses_what_decides_nothing(changes: dict, message: str) -> None:
    assert refusal(lambda: ComparisonSettings(**({"texts": ["a"] * 20} | changes))) == message


@pytest.mark.parametrize("version", [1, 3], ids=["what the file says", "another"])
def test_promote_refuses_a_file_that_the_server_is_ahead_of(start: Callable, base: Path, version: int) -> None:
    """Somebody moved the label by another file, or by hand: what this one says would undo it."""
    fake, place = start()
    model = fake.config.model_config_list.config[0]
    model.model_version_policy.specific.versions.append(2)
    model.version_labels["stable"] = 2
    path = base / "models.config"
    before = path.read_text()
    assert refusal(lambda: promote(place, version, force=True)) == (
        f"{path} says that 'stable' of 'a' is version 1, and {place.server} that it is version 2: put the file right, "
        "or give the file that the server was started with as config. "
        "A promotion sends the whole file to the server."
    )
    assert fake.reloads == []
    assert path.read_text() == before


def test_promote_brings_a_server_that_lost_its_labels_in_step(start: Callable) -> None:
    fake, place = start()
    fake.config.model_config_list.config[0].version_labels.clear()
    assert promote(place, 2, force=True).after == 2
    assert fake.labels == {"stable": 2}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "1 model(s) did not become available in time: b: /b does not exist",
            "{} refuses the configuration: 1 model(s) did not become available in time: b: /b does not exist.",
        ),
        ("Deadline Exceeded", "{} has not answered within 60 s: its log says what it does."),
    ],
    ids=["of the server", "of the client"],
)
def test_promote_says_what_was_not_there_in_time(
    start: Callable, monkeypatch: pytest.MonkeyPatch, said: str, expected: str
) -> None:
    def late(_: FakeServer, request, context):
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, said)

    monkeypatch.setattr(FakeServer, "HandleReloadConfigRequest", late)
    _, place = start()
    assert refusal(lambda: promote(place, 2, force=True)).startswith(expected.format(place.server))
