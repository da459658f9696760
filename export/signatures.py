"""Traces a text model into the five signatures of a SavedModel.

`publish` saves what this module builds. Every input and output has the batch as dimension 0 and no input is a scalar,
because TensorFlow Serving's batching joins requests along dimension 0. Inputs with defaults may be left out over
gRPC: the defaults have one row and are broadcast to the batch.
"""

from typing import Any

import tensorflow as tf

from charflow.model.decoding.generator import SamplingSettings
from charflow.model.decoding.text_model import TextModel

SIGNATURES = ("serving_default", "generate", "next_char", "score", "stream")

_TEXTS = tf.TensorSpec([None], tf.string)
_INTS = tf.TensorSpec([None], tf.int32)
_LONGS = tf.TensorSpec([None], tf.int64)
_FLOATS = tf.TensorSpec([None], tf.float32)


def _specs(**specs: tf.TensorSpec) -> list[tf.TensorSpec]:
    return [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()]


_SAMPLING = {
    "prompt": _TEXTS,
    "max_chars": _INTS,
    "temperature": _FLOATS,
    "top_k": _INTS,
    "top_p": _FLOATS,
    "seed": _LONGS,
    "stop": _TEXTS,
}


def make_servable(text_model: TextModel, settings: SamplingSettings) -> tuple[tf.Module, dict[str, Any]]:
    """Builds the module to save and its signatures.

    Args:
        text_model: a trained model with its limits.
        settings: what `serving_default` uses, and the defaults of `generate` and `stream`.

    Returns:
        A module, and its traced functions by signature name, for `tf.saved_model.save`.
    """
    max_chars = tf.constant([settings.max_chars], tf.int32)
    temperature = tf.constant([settings.temperature], tf.float32)
    top_k = tf.constant([settings.top_k], tf.int32)
    top_p = tf.constant([settings.top_p], tf.float32)
    seed = tf.constant([settings.seed], tf.int64)
    stop = tf.constant([settings.stop], tf.string)
    state = tf.zeros([1, text_model.state_size])
    position = tf.zeros([1], tf.int64)

    class Servable(tf.Module):
        """Default arguments that are eager tensors become `SignatureDef.defaults`."""

        def __init__(self) -> None:
            super().__init__(name="charflow")
            self.text_model = text_model

        @tf.function(input_signature=_specs(prompt=_TEXTS))
        def complete(self, prompt):  # type: ignore[no-untyped-def]
            settings = (max_chars, temperature, top_k, top_p, seed, stop)
            return {"text": self.text_model.complete(prompt, *settings, state, position).text}

        @tf.function(input_signature=_specs(**_SAMPLING))
        def generate(  # type: ignore[no-untyped-def]
            self, prompt, max_chars=max_chars, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, stop=stop
        ):
            settings = (max_chars, temperature, top_k, top_p, seed, stop)
            done = self.text_model.complete(prompt, *settings, state, position)
            return {name: getattr(done, name) for name in ("text", "log_prob", "length", "finish_reason")}

        @tf.function(input_signature=_specs(prompt=_TEXTS))
        def next_char(self, prompt):  # type: ignore[no-untyped-def]
            chars, probabilities = self.text_model.next_char(prompt)
            return {"chars": chars, "probabilities": probabilities}

        @tf.function(input_signature=_specs(text=_TEXTS))
        def score(self, text):  # type: ignore[no-untyped-def]
            return self.text_model.score(text)._asdict()

        @tf.function(
            input_signature=_specs(**_SAMPLING, state=tf.TensorSpec([None, text_model.state_size]), position=_LONGS)
        )
        def stream(  # type: ignore[no-untyped-def]
            self,
            prompt,
            max_chars=max_chars,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            stop=stop,
            state=state,
            position=position,
        ):
            settings = (max_chars, temperature, top_k, top_p, seed, stop)
            return self.text_model.complete(prompt, *settings, state, position)._asdict()

    servable = Servable()
    functions = (servable.complete, servable.generate, servable.next_char, servable.score, servable.stream)
    return servable, dict(zip(SIGNATURES, functions, strict=True))
