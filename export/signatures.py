"""The signatures of a SavedModel: one table of records, and what traces a text model into them.

`publish` saves what this module builds; the check, the warm-up file and the documentation go through the same table.
Every input and output has the batch as dimension 0 and no input is a scalar, because TensorFlow Serving's batching
joins requests along dimension 0. Inputs with defaults may be left out over gRPC: the defaults have one row and are
broadcast to the batch. B is the batch, S the size of a state, V the number of characters, T the longest text's.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from charflow.model.decoding.settings import SETTINGS, SamplingSettings
from charflow.model.decoding.text_model import Completions, TextModel

Tensors = Mapping[str, tf.Tensor]
Complete = Callable[[tf.Tensor, Tensors, tf.Tensor, tf.Tensor], Completions]


@dataclass(frozen=True)
class Input:
    """An input of a signature.

    Attributes:
        name: of it.
        dtype: of its tensor.
        has_default: whether it may be left out where the caller's protocol lets it.
        shape: in words; "B, S" is a state of each row.
    """

    name: str
    dtype: str
    has_default: bool = False
    shape: str = "B"


@dataclass(frozen=True)
class SignatureRecord:
    """A signature.

    Attributes:
        name: that callers give.
        method: what it is called in programs that load the model.
        answers: what it does, in words.
        inputs: in order; the first has no default.
        outputs: in order, each with its dtype and its shape in words.
        call: function of the text model, its `complete` and the inputs by name; what it gives has the outputs by name,
            or more.
        xla: whether `complete` has XLA compile its loop, which a server must allow; only where that was asked for.
    """

    name: str
    method: str
    answers: str
    inputs: tuple[Input, ...]
    outputs: Mapping[str, str]
    call: Callable[[TextModel, Complete, Tensors], Any]
    xla: bool = False


def _complete(_: TextModel, complete: Complete, given: Tensors) -> Any:
    settings = {setting.name: given[setting.name] for setting in SETTINGS}
    return complete(given["prompt"], settings, given["state"], given["position"])._asdict()


def _next_char(text_model: TextModel, _: Complete, given: Tensors) -> Any:
    return dict(zip(("chars", "probabilities"), text_model.next_char(given["prompt"]), strict=True))


def _score(text_model: TextModel, _: Complete, given: Tensors) -> Any:
    return text_model.score(given["text"])._asdict()


_PROMPT = Input("prompt", "string")
_SETTINGS = tuple(Input(setting.name, setting.dtype, has_default=True) for setting in SETTINGS)
_CONTINUED = (Input("state", "float32", True, "B, S"), Input("position", "int64", True))
_WRITTEN = {"text": "string [B]", "log_prob": "float32 [B]", "length": "int32 [B]", "finish_reason": "string [B]"}
RECORDS: tuple[SignatureRecord, ...] = (
    SignatureRecord(
        "serving_default",
        "complete",
        "the completion with the settings chosen at export",
        (_PROMPT,),
        {"text": "string [B]"},
        _complete,
    ),
    SignatureRecord("generate", "generate", "a completion", (_PROMPT, *_SETTINGS), _WRITTEN, _complete),
    SignatureRecord(
        "next_char",
        "next_char",
        "what may follow, most likely first",
        (_PROMPT,),
        {"chars": "string [B, V]", "probabilities": "float32 [B, V]"},
        _next_char,
    ),
    SignatureRecord(
        "score",
        "score",
        "how likely a text is",
        (Input("text", "string"),),
        {
            "bits_per_char": "float32 [B]",
            "char_log_probs": "float32 [B, T]",
            "length": "int32 [B]",
            "unknown_chars": "int32 [B]",
            "truncated": "bool [B]",
        },
        _score,
    ),
    SignatureRecord(
        "stream",
        "stream",
        "a completion in chunks: state and position go into the next request",
        (_PROMPT, *_SETTINGS, *_CONTINUED),
        {**_WRITTEN, "state": "float32 [B, S]", "position": "int64 [B]"},
        _complete,
    ),
)
# Of `stream` there is none: a state would carry XLA's rounding from call to call.
XLA_RECORDS: tuple[SignatureRecord, ...] = (
    SignatureRecord(
        "generate_xla",
        "generate_xla",
        "as `generate`, the same texts, by a loop that XLA compiles for 1 to 4 rows without samplers",
        (_PROMPT, *_SETTINGS),
        _WRITTEN,
        _complete,
        xla=True,
    ),
)
SIGNATURES = tuple(record.name for record in RECORDS)
XLA_SIGNATURES = frozenset(record.name for record in XLA_RECORDS)


def make_servable(
    text_model: TextModel, settings: SamplingSettings, *, xla: bool = False
) -> tuple[tf.Module, dict[str, Any]]:
    """Builds the module to save and its signatures.

    Args:
        text_model: a trained model with its limits.
        settings: what `serving_default` uses, and the defaults of `generate` and `stream`.
        xla: whether `XLA_RECORDS` are signatures, too.

    Returns:
        A module, and its traced functions by signature name, for `tf.saved_model.save`.
    """
    defaults = {
        **{each.name: tf.constant([getattr(settings, each.name)], each.dtype) for each in SETTINGS},
        "state": tf.zeros([1, text_model.state_size]),
        "position": tf.zeros([1], tf.int64),
    }
    servable = tf.Module(name="charflow")
    servable.text_model = text_model  # a module saves the variables of what its attributes hold
    records = (*RECORDS, *XLA_RECORDS) if xla else RECORDS
    complete = {way: _complete_once(text_model, xla=way) for way in {record.xla for record in records}}
    functions = {record.name: _traced(record, text_model, complete[record.xla], defaults) for record in records}
    for record in records:
        setattr(servable, record.method, functions[record.name])
    return servable, functions


def _complete_once(text_model: TextModel, *, xla: bool) -> Complete:
    """Makes of `complete` one function that all signatures call, which is traced, saved and loaded once."""
    settings = {each.name: tf.TensorSpec([None], each.dtype) for each in SETTINGS}
    state, position = tf.TensorSpec([None, text_model.state_size]), tf.TensorSpec([None], tf.int64)
    return tf.function(
        lambda *given: text_model.complete(*given, xla=xla),
        input_signature=[tf.TensorSpec([None], tf.string), settings, state, position],
        autograph=False,
    )


def _traced(record: SignatureRecord, text_model: TextModel, complete: Complete, defaults: Tensors) -> Any:
    """Makes the function of a signature; default arguments that are eager tensors become `SignatureDef.defaults`."""
    signature = inspect.Signature(
        [
            inspect.Parameter(
                each.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=defaults[each.name] if each.has_default else inspect.Parameter.empty,
            )
            for each in record.inputs
        ]
    )

    def call(*args: tf.Tensor, **kwargs: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = record.call(text_model, complete, {**defaults, **signature.bind(*args, **kwargs).arguments})
        return {name: answer[name] for name in record.outputs}

    call.__name__, call.__signature__ = record.name, signature  # type: ignore[attr-defined]
    return tf.function(call, input_signature=[_spec(each, text_model) for each in record.inputs], autograph=False)


def _spec(given: Input, text_model: TextModel) -> tf.TensorSpec:
    shape = [None, text_model.state_size] if given.shape == "B, S" else [None]
    return tf.TensorSpec(shape, given.dtype, name=given.name)
