"""Three tiny models, a server of them with its page, and Chromium in front of it; the tests of a file share all of it.

`ends` writes messages that end, `answers` answers, `plain` does neither. Their weights are random, but sure of
themselves.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, expect, sync_playwright

from charflow.export.signatures import make_servable
from charflow.model.config import NetworkConfig
from charflow.model.decoding.decoder import make_decoder
from charflow.model.decoding.settings import Limits, SamplingSettings
from charflow.model.decoding.text_model import TextModel
from charflow.model.network.network import Network
from charflow.pipeline.marks import END, REPLY
from charflow.pipeline.text_settings import TextSettings
from charflow.pipeline.vocabulary import CharacterLookup, Vocabulary
from tests.serving.playground.screen import Screen
from tests.serving.processes.server_process import ServerProcess, starting
from tests.support import made_once

_CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
_CHARS = "abcdefgh '<&ü"
_MODELS = {
    "ends": (END + _CHARS, TextSettings(ends=True)),
    "answers": (REPLY + END + _CHARS, TextSettings(reply=True)),
    "plain": (_CHARS + "\n", TextSettings()),
}
_CONFIG = """
model_config_list {{
  config {{ name: "ends" base_path: "{0}/ends" model_platform: "tensorflow" model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }} }}
  config {{ name: "answers" base_path: "{0}/answers" model_platform: "tensorflow" }}
  config {{ name: "plain" base_path: "{0}/plain" model_platform: "tensorflow" }}
}}
"""


def _save(path: Path, chars: str, settings: TextSettings, seed: int) -> None:
    vocabulary = Vocabulary(chars)
    network = Network(NetworkConfig(units=6, dropout=0.0), vocabulary.size, targets="next", seed=1)
    random = np.random.default_rng(seed)
    for variable in network.model.trainable_variables:
        variable.assign(random.normal(scale=0.9, size=variable.shape))
    bias = network.model.get_layer("logits").bias
    bias.assign(bias - 7.0 * (np.arange(vocabulary.size) == vocabulary.encode(END)[0]))  # messages of some length
    decoder = make_decoder(network, "stream", 4, vocabulary.never_written)
    limits = Limits(prompt_chars=80, completion_chars=64)
    servable, functions = make_servable(
        TextModel(decoder, CharacterLookup(vocabulary), settings, limits),
        SamplingSettings(max_chars=24, temperature=0.9),
    )
    tf.saved_model.save(servable, str(path), signatures=functions)


def _make_models(folder: Path) -> None:
    for seed, (name, (chars, settings)) in enumerate(_MODELS.items()):
        _save(folder / name / "1", chars, settings, seed)
    shutil.copytree(folder / "ends" / "1", folder / "ends" / "2")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the three models, of which `ends` has two versions; not to be changed."""
    models = made_once(tmp_path_factory, "playground_models", _make_models)
    folder = tmp_path_factory.mktemp("playground")
    config = folder / "models.config"
    config.write_text(_CONFIG.format(models))
    with starting(folder) as start:
        yield start(model_config_file=config, allow_version_labels_for_unavailable_models=True, playground=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window; it ends with the file, for meanwhile Playwright's event loop runs in this thread."""
    found = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if not found:
        pytest.skip("no chromium: apt-get install chromium, or name the program in the environment variable CHROMIUM")
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=_CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of a person who was never there before."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def screen(context: BrowserContext, server: ServerProcess) -> Iterator[Screen]:
    """The page, which asks nobody but the server and has nothing to complain of; a test may expect some of that."""
    screen = Screen(context.new_page(), f"http://{server.rest}")
    complaints: list[str] = []
    others: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.text} {message.location.get('url', '')}")

    screen.page.on("console", hear)
    screen.page.on("pageerror", lambda error: complaints.append(str(error)))
    screen.page.on("request", lambda request: others.append(request.url) if not screen.owns(request.url) else None)
    yield screen
    assert others == []
    assert [each for each in complaints if not any(part in each for part in screen.expected)] == []
