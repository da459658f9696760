"""Writes README.md of a folder for the Hugging Face hub: metadata that the hub reads, then what people read.

`hub` asks for it. It has figures of the run, and neither names nor messages. Metadata as documented at
https://huggingface.co/docs/hub/model-cards; strings stand as JSON, which is YAML.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from typing import Any

from charflow.model.config import Config
from charflow.pipeline.errors import counted
from charflow.sentences import listed

LIBRARY = "charflow"
_PIPELINE = "text-generation"
_READ = {
    "lowercase": "lowercased",
    "case_fold": "case-folded",
    "unicode_form": "normalised to a form of Unicode",
    "scrub": "with placeholders for links, numbers and the like",
}


@dataclass(frozen=True)
class Told:
    """What a card tells of a run.

    Attributes:
        name: of the model.
        config: of the run.
        weights: of the network, how many.
        characters: in the vocabulary.
        corpus: facts of the text, as `RunDir.corpus_facts`.
        figures: of the weights, as `RunDir.figures_of`.
        memorisation: what is known by heart, as `report_of`; None where nobody looked.
    """

    name: str
    config: Config
    weights: int
    characters: int
    corpus: Mapping[str, Any]
    figures: Mapping[str, Any]
    memorisation: Mapping[str, Any] | None

    @property
    def held_out(self) -> Mapping[str, Any] | None:
        """Figures on the held-out text: of all of it, or of the part that was scored while training."""
        return self.figures["held_out"] or self.figures["held_out_part"]


def make_card(told: Told) -> str:
    """Gives the text of README.md."""
    return f"---\n{_metadata(told)}---\n\n{_body(told)}"


def _metadata(told: Told) -> str:
    lines = [
        "license: unknown  # whose chat it is decides: name a licence before you publish the model",
        f"library_name: {LIBRARY}",
        f"pipeline_tag: {_PIPELINE}",
        "tags:",
        *(f"- {tag}" for tag in (LIBRARY, "character-level", told.config.network.cell, "tensorflow", "keras")),
    ]
    if told.held_out:
        lines += [
            "model-index:",
            f"- name: {_text(told.name)}",
            "  results:",
            "  - task:",
            f"      type: {_PIPELINE}",
            "    dataset:",
            "      name: held-out messages of the chat that it was trained on, not published",
            "      type: private",
            "    metrics:",
            "    - type: bits_per_character",
            "      name: bits per character",
            f"      value: {told.held_out['bits_per_char']:.4f}",
            "    - type: accuracy",
            f"      value: {told.held_out['accuracy']:.4f}",
        ]
    return "".join(f"{line}\n" for line in lines)


def _body(told: Told) -> str:
    rows = "".join(f"| {name} | {what} |\n" for name, what in _rows(told))
    typed = shlex.quote(told.name)
    remembered = ", and the counts beside them," if told.config.training.remembers else ""
    files = "".join(f"| `{name}` | {what} |\n" for name, what in _files(told))
    return f"""# {told.name}

Writes messages, character by character: a recurrent network that charflow trained on a chat.

## Use

With charflow {installed("charflow")} or later, of a copy of this folder:

```sh
charflow generate {typed} "how do i " --temperature 0.5 --seed 7
charflow export {typed} --to models    # a SavedModel, for TensorFlow Serving
```

```python
from charflow.model import Generator

Generator.load({_text(told.name)}).generate(["how do i "], max_chars=200, temperature=0.5, seed=7)[0].text
```

## What it is

| | |
| --- | --- |
{rows}
## Files

| file | what it has |
| --- | --- |
{files}
## What it may write

It learned from what people wrote to each other, and may write what stands there: {_copies(told)}.

These files hold no message, and no person's id, as such; the weights{remembered} were made of the messages.
"""


def _rows(told: Told) -> list[tuple[str, str]]:
    network, training, corpus = told.config.network, told.config.training, told.corpus
    layers = f"{counted(network.layers, network.cell.upper() + ' layer')} of {network.units:,} units"
    read = [words for name, words in _READ.items() if getattr(told.config.corpus.text, name)]
    rows = [
        ("network", f"{layers}, {told.weights:,} weights"),
        ("vocabulary", counted(told.characters, "character")),
        ("prompts are read", listed(read) if read else "as they are"),
        (
            "trained on",
            f"{counted(corpus['messages'] - corpus['held_out_messages'], 'message')}, "
            f"{counted(corpus['train_characters'], 'character')}, "
            f"{counted(told.figures['step'], 'step')} of {training.batch_size:,} windows",
        ),
    ]
    if training.remembers:
        rows.append(("beside the network", f"counts of what follows up to {training.memory_order} characters"))
    if found := told.held_out:
        bits = f"{found['bits_per_char']:.4f} bits per character, accuracy {found['accuracy']:.1%}"
        rows.append(("held out", f"{bits} on {counted(found['characters'], 'character')}"))
    return rows


def _text(name: str) -> str:
    """A text as YAML and Python write it."""
    return json.dumps(name, ensure_ascii=False)


def _copies(told: Told) -> str:
    if not told.memorisation:
        return "nobody looked how often"
    share = max(told.memorisation["copied"].values())
    return f"of samples up to {share:.2%} did, in runs of {told.memorisation['run_length']} characters and more"


def _files(told: Told) -> list[tuple[str, str]]:
    rows = [
        ("model.safetensors", "the weights, float32, by the names of Keras's variables"),
        ("vocabulary.txt", "the characters, one a line; their ids begin with 1, and 0 is any other"),
        ("config.toml", "the settings, without files and people"),
        ("config.json", "the network's shape, for other programs"),
        ("corpus.json", "how much text there was"),
        ("metrics.jsonl, result.json", "how well the network did"),
    ]
    if told.config.training.remembers:
        rows.insert(1, ("memory.npz", "counts: stretches of characters as they stand in the chat, and what follows"))
    return rows
