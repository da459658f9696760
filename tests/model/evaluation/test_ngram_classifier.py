"""The classifier that authors are told by beside their runs."""

import numpy as np
import pytest

from charflow.model.evaluation.ngram_classifier import classify, is_installed

pytest.importorskip("sklearn", reason="pip install 'charflow[authors]'")


def test_classify_tells_people_by_their_characters() -> None:
    learned = [["oh my dears", "my dear", "dears, oh my"], ["no, bo said so", "bo, no", "so said bo"]]
    assert is_installed()
    assert classify(learned, ["my dears", "said bo", "oh dear"]).tolist() == [0, 1, 0]


def test_classify_lets_somebody_who_writes_more_count_no_more() -> None:
    learned = [["oh my dears"] * 50, ["no, bo said so"] * 2]
    assert np.array_equal(classify(learned, ["no, bo said so", "oh my dears"]), [1, 0])
