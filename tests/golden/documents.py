"""The golden documents: each function makes one, from the house, of what a user or a program sees of charflow.

`comparing` says how they are compared, `make` writes them, `test_golden` compares them with the files.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from charflow.benchmarks import limits, training
from charflow.model import preset
from charflow.model.decoding.settings import SETTINGS, Limits, SamplingSettings
from tests.golden.house import RUNS, USER, House, charflow, checked_here

Document = Callable[[House], Any]
DOCUMENTS: dict[str, Document] = {}

PROMPTS = ["oh my dears, the ", "", "ÉTÉ ♥ \N{SNOWMAN}\t", "tomatoes\nare"]
ASKED: dict[str, Any] = {  # of the settings that are not here the default
    "max_chars": [40, 40, 5, 40],
    "temperature": [0.0, 0.5, 1.0, 1.4],
    "top_k": [0, 3, 0, 0],
    "top_p": [1.0, 1.0, 0.9, 0.7],
    "seed": [7, 7, -8, 2**40],
    "stop": ["", "", "", "e"],
}


def document(name: str) -> Callable[[Document], Document]:
    """Adds a document to the table."""

    def add(make: Document) -> Document:
        DOCUMENTS[name] = make
        return make

    return add


@document("corpus")
def corpus(house: House) -> Any:
    """What some choices of messages leave, and what training sees of it."""
    from charflow.pipeline import Corpus, TextSettings, make_windows

    choices: dict[str, dict[str, Any]] = {
        "all": {},
        "mira": {"user": USER, "fraction": 0.5, "min_count": 20},
        "others": {"drop_users": [USER, "buildbot"], "held_out": 0.25, "min_length": 30},
        "as written": {"user": ["olena", "noor"], "text": TextSettings(lowercase=False, unicode_form="NFKC")},
        "folded": {"user": "bram", "text": TextSettings(case_fold=True, unicode_form="NFC")},
    }
    found = {name: Corpus.from_csv(house.chat, **choice) for name, choice in choices.items()}
    windows = make_windows(found["mira"].train_ids, length=8, shift=3, batch_size=4, shuffle_seed=1, targets="all")
    inputs, targets = next(windows.as_numpy_iterator())
    return {
        "corpora": {name: {**one.facts(), "characters": one.vocabulary.chars} for name, one in found.items()},
        "first batch": {"inputs": inputs.tolist(), "targets": targets.tolist()},
    }


@document("defaults")
def defaults(_: House) -> Any:
    """What is trained, sampled and exported by where nothing is said."""
    return {
        "presets": {name: asdict(preset(name)) for name in ("default", "tutorial")},
        "sampling": asdict(SamplingSettings()),
        "limits": asdict(Limits()),
    }


@document("losses")
def losses(house: House) -> Any:
    """The loss of every step."""
    return {name: house.losses(name) for name in RUNS}


@document("texts")
def texts(house: House) -> Any:
    """What the generator writes, under every setting."""
    from charflow.model import Generator

    several = ["oh my dears, ", "THE beans", "", "\N{SNOWMAN}x"]
    calls: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("default", "stream", "", {"max_chars": 60}),
        ("default", "stream", "oh my dears, the ", {"temperature": 0.0, "max_chars": 60}),
        ("default", "stream", "oh my dears, the ", {"temperature": 1.0, "max_chars": 60, "seed": 7}),
        ("default", "stream", several, {"temperature": 0.8, "max_chars": 40, "seed": -2}),
        ("default", "stream", several, {"temperature": 1.3, "top_k": 4, "max_chars": 40, "seed": 2**40}),
        ("default", "stream", several, {"temperature": 1.3, "top_p": 0.6, "max_chars": 40, "seed": 3}),
        ("default", "stream", "a", {"temperature": 1.5, "top_k": 9, "top_p": 0.8, "stop": "e", "max_chars": 80}),
        ("default", "stream", "a long one: ", {"temperature": 0.7, "seed": 1, "max_chars": 600}),
        ("default", "window", several, {"temperature": 0.9, "seed": 5, "max_chars": 60}),
        ("default", "window", "oh my ", {"temperature": 0.0, "stop": "a", "max_chars": 60}),
        ("mixed", "stream", several, {"temperature": 1.0, "top_k": 12, "top_p": 0.95, "max_chars": 60, "seed": 9}),
        ("mixed", "window", several, {"temperature": 0.6, "stop": ".", "max_chars": 60}),
    ]
    generators = {
        (run, context): Generator.load(house.fixed[run], context=context)
        for run, context in dict.fromkeys(call[:2] for call in calls)
    }
    return [
        {
            **{"run": run, "context": context, "prompts": prompts, "settings": settings},
            "written": [asdict(text) for text in generators[run, context].generate(prompts, **settings)],
        }
        for run, context, prompts, settings in calls
    ]


@document("signatures")
def signatures(house: House) -> Any:
    """What TensorFlow Serving reads of the exported versions: inputs, outputs, defaults."""
    return {version: dict(_signatures(house.models / version)) for version in ("1", "2")}


def _signatures(folder: Path) -> Iterator[tuple[str, Any]]:
    (graph,) = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    yield "tags", list(graph.meta_info_def.tags)
    for name, signature in sorted(graph.signature_def.items()):
        if name.startswith("__"):  # TensorFlow's own
            continue
        yield (
            name,
            {
                "method": signature.method_name,
                "inputs": {key: _spec(info) for key, info in sorted(signature.inputs.items())},
                "outputs": {key: _spec(info) for key, info in sorted(signature.outputs.items())},
                "defaults": {key: _tensor(value) for key, value in sorted(signature.defaults.items())},
            },
        )


def _spec(info: Any) -> str:
    return f"{tf.as_dtype(info.dtype).name} {tf.TensorShape(info.tensor_shape)}"


def _tensor(proto: Any) -> Any:
    """A tensor's type and values; those that are all the same once."""
    values = tf.make_ndarray(proto)
    all_the_same = values.size > 8 and (values == values.flat[0]).all()
    shown = f"all {values.flat[0]}" if all_the_same else _plain(values)
    return {"dtype": values.dtype.name, "shape": list(values.shape), "values": shown}


def _plain(values: np.ndarray) -> Any:
    return np.vectorize(bytes.decode, otypes=[object])(values).tolist() if values.dtype == object else values.tolist()


@document("answers")
def answers(house: House) -> Any:
    """What every signature of the exported versions answers."""
    rows = len(PROMPTS)
    settings = {each.name: tf.constant(ASKED.get(each.name, [each.default] * rows), each.dtype) for each in SETTINGS}
    prompts = tf.constant(PROMPTS)
    found = {}
    for version in ("1", "2"):
        module = tf.saved_model.load(str(house.models / version))
        call = module.signatures
        state = tf.zeros([len(PROMPTS), call["stream"].structured_input_signature[1]["state"].shape[1]])
        begun = call["stream"](prompt=prompts, state=state, position=tf.zeros([len(PROMPTS)], tf.int64), **settings)
        place = {"state": begun["state"], "position": begun["position"]}
        answered = {
            "serving_default": call["serving_default"](prompt=prompts),
            "generate": call["generate"](prompt=prompts, **settings),
            "next_char": call["next_char"](prompt=prompts[:2]),
            "score": call["score"](text=prompts),
            "stream": begun,
            "stream, next": call["stream"](prompt=tf.fill([len(PROMPTS)], ""), **place, **settings),
        }
        found[version] = {
            name: {key: _short(_plain(value.numpy())) for key, value in sorted(outputs.items())}
            for name, outputs in answered.items()
        }
    return found


def _short(rows: list) -> list:
    """Of rows of hundreds of floats the first, some and the sum."""
    if not isinstance(rows[0], list) or len(rows[0]) <= 80:
        return rows
    return [{"first": row[:8], "each 40th": row[::40], "sum of magnitudes": sum(map(abs, row))} for row in rows]


@document("files")
def files(house: House) -> Any:
    """The files that a run and an exported model consist of, and those that other programs read as they are."""
    run, base = house.run("mixed"), house.models
    texts = [run / "config.toml", run / "vocabulary.txt", run / "corpus.json", run / "placement.json"]
    texts += [base / "models.config", *sorted((base / "1" / "assets").iterdir())]
    names = sorted(str(path.relative_to(house.folder)) for top in (run, base) for path in top.rglob("*"))
    return {
        "names": [re.sub(r"(events\.out\.tfevents\.).*", r"\1*", name) for name in names],
        "texts": {str(path.relative_to(house.folder)): path.read_text(encoding="utf-8").splitlines() for path in texts},
    }


@document("model_card")
def model_card(house: House) -> Any:
    """What lies beside each version for people and for `charflow export --check`."""
    paths = {version: house.models / version / "assets.extra" / "model_card.json" for version in ("1", "2")}
    return {version: json.loads(path.read_text(encoding="utf-8")) for version, path in paths.items()}


@document("warm_up")
def warm_up(house: House) -> Any:
    """The requests that TensorFlow Serving replays."""
    found = {}
    for version in ("1", "2"):
        path = house.models / version / "assets.extra" / "tf_serving_warmup_requests"
        logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(path)]
        requests = [log.predict_log.request for log in logs]
        found[version] = [
            {
                "model": request.model_spec.name,
                "signature": request.model_spec.signature_name,
                "inputs": {name: _tensor(value) for name, value in sorted(request.inputs.items())},
            }
            for request in requests
        ]
    return found


@document("client")
def client(house: House) -> Any:
    """What the clients of both protocols say of version 1."""
    from charflow.serving import Client

    found = {}
    for protocol, address in house.addresses.items():
        with Client(address, protocol, model="m", version=1) as one:
            metadata = one.metadata()
            found[protocol] = {
                "complete": one.complete(PROMPTS),
                "generate, defaults": asdict(one.generate(PROMPTS[0])),
                "generate, lists": [asdict(text) for text in one.generate(PROMPTS, **ASKED)],
                "generate, scalars": [asdict(text) for text in one.generate(PROMPTS, seed=4, max_chars=20, top_k=2)],
                "stream": list(one.stream(PROMPTS[0], chunk_chars=16, max_chars=50, seed=3, temperature=0.9)),
                "next_char": asdict(one.next_char(PROMPTS[0])),
                "score": asdict(one.score(PROMPTS[0])),
                "status": [asdict(version) for version in one.status()],
                "metadata": {
                    "name": metadata.name,
                    "version": metadata.version,
                    "inputs": {name: sorted(one.inputs) for name, one in sorted(metadata.signatures.items())},
                    "defaults": dict(sorted(metadata.signature("generate").defaults.items())),
                },
            }
    return json.loads(json.dumps(found))  # tuples are lists in files


@document("help")
def help_texts(house: House) -> Any:
    """What `--help` says, at 80 columns."""
    return {" ".join(words) or "charflow": charflow(*words, "--help").splitlines() for words in commands()}


def commands(*group: str) -> Iterator[tuple[str, ...]]:
    """Walks the commands, by what the help of each group lists."""
    yield group
    listed = charflow(*group, "--help").partition("Commands:\n")[2]
    for name in re.findall(r"^  (\S+) ", listed, re.MULTILINE):
        yield from commands(*group, name)


_PROMPTS = ("oh my dears, ", "THE beans \N{SNOWMAN}")
_ALL_SETTINGS = ("--temperature", 0.9, "--top-k", 9, "--top-p", 0.95, "--seed", 3, "--stop", "q", "--length", 30)


def _command(name: str, *words: object, status: int = 0) -> Any:
    return json.loads(charflow(*name.split(), *words, "--json", status=status))


@document("commands/explore")
def explore(house: House) -> Any:
    """`charflow explore --json`."""
    return _command("explore", house.chat, "--user", USER, "--drop-user", "buildbot", "--min-count", 2)


@document("commands/prepare")
def prepare(house: House) -> Any:
    """`charflow prepare --json`."""
    words = ("--user", USER, "--user", "ada", "--shard-size", 10_000, "--held-out", 0.2)
    return _command("prepare", house.chat, "--to", house.folder / "prepared", *words)


@document("commands/train")
def train(house: House) -> Any:
    """`charflow train --json`."""
    for name in RUNS:
        house.run(name)
    return {name: house.figures[name] for name in RUNS}


@document("commands/sweep")
def sweep(house: House) -> Any:
    """`charflow sweep --json`."""
    space = ("--search", "units=4,8", "--search", "layers=1", "--user", USER)
    return _command("sweep", house.chat, "--out", house.folder / "sweep", "--trials", 2, "--time-limit", 0.5, *space)


@document("commands/bench_train")
def bench_train(house: House) -> Any:
    """`charflow bench train --json`."""
    words = ("--user", USER, "--units", 4, "--seconds", 0.1, "--workers", 0, "--turns", 1)
    with patch.object(training, "_RECIPE_BATCHES", 2), patch.dict(limits._SIDE, CPU=64):  # the figures are masked
        return _command("bench train", house.chat, *words)


@document("commands/bench_decode")
def bench_decode(_: House) -> Any:
    """`charflow bench decode --json`."""
    return _command("bench decode", "--units", 4, "--batch-size", 2, "--chars", 3, "--turns", 1, "--no-xla")


@document("commands/evaluate")
def evaluate(house: House) -> Any:
    """`charflow evaluate --json`, on the run's own text and on another."""
    return {
        "own": _command("evaluate", house.fixed["default"]),
        "another": _command("evaluate", house.fixed["mixed"], house.chat, "--user", "ada", "--context", "window"),
    }


@document("commands/who")
def who(house: House) -> Any:
    """`charflow who --json`, among two who have the same weights."""
    people = house.folder / "people"
    people.mkdir()
    for name in ("ada", "mira"):
        (people / name).symlink_to(house.fixed["default"])
    return _command("who", *_PROMPTS, "--among", people)


@document("commands/generate")
def generate(house: House) -> Any:
    """`charflow generate --json`, by default and with every setting."""
    return {
        "defaults": _command("generate", house.fixed["default"], _PROMPTS[0]),
        "all": _command("generate", house.fixed["default"], *_PROMPTS, "--count", 2, *_ALL_SETTINGS),
    }


@document("commands/export")
def export(house: House) -> Any:
    """`charflow export --json`, and `--check`."""
    base = house.models
    with checked_here():
        return {"export": house.figures["export"], "check": _command("export", "--check", base / "2")}


@document("commands/promote")
def promote(house: House) -> Any:
    """`charflow promote --json`: a label is given, moved, kept from the worse version, and moved back."""
    lines = house.folder / "held-out.txt"
    lines.write_text("".join(f"oh my dears, the {n} tomatoes are growing ♥\n" for n in range(25)), encoding="utf-8")
    there = ("--config", house.config, "--server", house.addresses["grpc"])
    compared = ("--texts", lines, "--samples", 3, "--max-slowdown", 1000)
    return {
        "given": _command("promote", house.models, 1, *there, "--force"),
        "moved": _command("promote", house.models, 2, *there, *compared),
        "refused": _command("promote", house.models, 1, *there, *compared, status=2),
        "back": _command("promote", house.models, *there, "--rollback"),
    }


@document("commands/complete")
def complete(house: House) -> Any:
    """`charflow complete --json`, over both protocols."""
    there = ("--model", "m", "--version", 1)
    return {
        protocol: {
            "defaults": _command("complete", _PROMPTS[0], "--server", address, *there, *rest),
            "all": _command("complete", *_PROMPTS, "--count", 2, *_ALL_SETTINGS, "--server", address, *there, *rest),
        }
        for protocol, address, rest in (
            ("grpc", house.addresses["grpc"], ()),
            ("rest", house.addresses["rest"], ("--rest",)),
        )
    }
