"""Writes what an exported model is, as JSON beside it: assets.extra/model_card.json.

`publish` makes it; `check` replays its self-test; people read the rest.
"""

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from charflow.model.decoding.contexts import ContextKind
from charflow.model.decoding.generator import Generator
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.settings import SamplingSettings
from charflow.model.decoding.text_model import TextModel
from charflow.model.evaluation.memorisation import report_of, without_text
from charflow.model.run.checkpoints import best_step
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.errors import UserError
from charflow.pipeline.settings import checked
from charflow.serving.layout import MODEL_CARD

_SELF_TEST_CHARS = 60


def card_path(version_folder: Path) -> Path:
    """Where the card of a version stands."""
    return version_folder / MODEL_CARD


def make_model_card(
    run: RunDir,
    version: int,
    text_model: TextModel,
    settings: SamplingSettings,
    context: ContextKind,
    *,
    reference: Generator,
) -> dict[str, Any]:
    """Collects configuration, data, metrics, limits, versions, and a self-test.

    The self-test holds requests with the answers of `reference`, the in-process generator, so that any later check of
    the SavedModel, on any machine, can compare with them. Its prompts are the model's own words.
    """
    config, _ = run.load()
    return {
        "name": "charflow character model",
        "version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run.path.name,
        "configuration": {key: value for key, value in asdict(config).items() if key != "data"},
        "data": run.corpus_facts(),
        "metrics": run.figures_of(best_step(run.checkpoints) or 0),
        "memorisation": without_text(report_of(run)),
        "serving_default": asdict(settings),
        "context": context,
        "limits": asdict(text_model.limits),
        "largest_request": text_model.largest and text_model.largest._asdict(),
        "state_size": text_model.state_size,
        "versions": {
            "charflow": installed("charflow"),
            "tensorflow": installed("tensorflow"),
            "keras": installed("keras"),
            "python": platform.python_version(),
        },
        "self_test": _self_test(reference, min(_SELF_TEST_CHARS, text_model.limits.completion_chars)),
    }


def write_model_card(card: dict[str, Any], version_folder: Path) -> None:
    """Writes the card into the version's folder."""
    path = card_path(version_folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@checked
def read_model_card(version_folder: Path) -> dict[str, Any]:
    """Reads the card of a version.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = card_path(version_folder)
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{version_folder} has no model card: it was not exported by charflow.") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}.") from error
    return card


def _self_test(reference: Generator, max_chars: int) -> list[dict[str, Any]]:
    own_words = reference.generate("", max_chars=24, temperature=0.5, stop_at_end=False)[0].text
    usual = {sampler.name: sampler.usual for sampler in SAMPLERS}
    requests = [
        ("", SamplingSettings(max_chars=max_chars)),
        (own_words, SamplingSettings(max_chars=max_chars, temperature=1.0, seed=7)),
        (own_words[:9], SamplingSettings(max_chars=max_chars, temperature=0.0, stop_at_end=False)),
        (own_words[:3], SamplingSettings(max_chars=max_chars, temperature=0.8, seed=2, max_messages=3)),
        (
            own_words[:5],
            SamplingSettings(max_chars=max_chars, temperature=1.2, seed=-3, stop=own_words[-1:], **usual),
        ),
    ]
    return [
        {"prompt": prompt, **asdict(request), "expected": asdict(reference.generate(prompt, **asdict(request))[0])}
        for prompt, request in requests
    ]
