"""Nested dictionaries over tables of settings; `tests/model/test_config.py` has what they say of a whole run."""

from dataclasses import replace

from charflow.pipeline.corpus.settings import CorpusSettings
from charflow.pipeline.tables import differing, names, nested, override
from charflow.pipeline.text_settings import TextSettings


def test_override_reaches_inner_tables_and_keeps_the_rest() -> None:
    before = CorpusSettings(fraction=0.5)
    after = override(before, {"users": ["mira"], "text": {"lowercase": False}})
    assert after == CorpusSettings(fraction=0.5, users=("mira",), text=TextSettings(lowercase=False))
    assert before == CorpusSettings(fraction=0.5)


def test_names_and_differing_list_the_settings_themselves() -> None:
    changes = nested([(("text",), {"lowercase": False}), ((), {"fraction": 0.5}), (("text",), {"case_fold": True})])
    assert changes == {"text": {"lowercase": False, "case_fold": True}, "fraction": 0.5}
    assert names(changes) == ("lowercase", "case_fold", "fraction")
    assert set(differing(CorpusSettings(), override(CorpusSettings(), changes))) == set(names(changes))
    assert list(differing(CorpusSettings(), replace(CorpusSettings()))) == []
