"""How figures are written for people."""

import pytest

from charflow.cli.console import duration, print_json, size


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (34_154, "34.2 kB"), (2_500_000, "2.5 MB"), (7 * 10**12, "7.0 TB")],
    ids=str,
)
def test_size_has_a_unit(count: int | str, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
    ids=str,
)
def test_duration_has_units(seconds: float | str, text: str) -> None:
    assert duration(seconds) == text


def test_print_json_keeps_every_character(capsys: pytest.CaptureFixture) -> None:
    print_json({"text": "мова 🌻"})
    assert capsys.readouterr().out == '{\n  "text": "мова 🌻"\n}\n'
