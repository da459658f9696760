"""Fixtures that several packages' tests share."""

import os

import pandas as pd
import pytest

from tests.support import ROOT

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded: its start-up lines hide the tests'

_GITTER = ROOT.parent / "shared" / "data" / "gitter.csv"


@pytest.fixture(scope="session")
def gitter_csv() -> str:
    """The 125,384 messages of the real chat; see ../shared/data/README.md."""
    if not _GITTER.exists():
        pytest.skip(f"the real chat is not here: put gitter.csv at {_GITTER}")
    return str(_GITTER)


@pytest.fixture(scope="session")
def gitter_table(gitter_csv: str) -> pd.DataFrame:
    """The real chat as pandas reads it."""
    return pd.read_csv(gitter_csv, usecols=["fromUser.id", "text"], keep_default_na=False, dtype=str)


@pytest.fixture(scope="session")
def sample_chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sample chat of 600 messages, 8 columns."""
    from charflow.pipeline.sample_chat import write_sample_chat

    path = tmp_path_factory.mktemp("sample") / "chat.csv"
    write_sample_chat(path, messages=600)
    return str(path)


@pytest.fixture(scope="session")
def sample_table(sample_chat: str) -> pd.DataFrame:
    """The sample chat as pandas reads it."""
    return pd.read_csv(sample_chat, keep_default_na=False, dtype=str)
