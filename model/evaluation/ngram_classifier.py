"""Tells authors apart by the n-grams of their characters, with scikit-learn: what a run for each has to beat.

`author_accuracy` asks it. TF-IDF of character n-grams and a linear classifier is what is usually done; see Stamatatos,
"A survey of modern authorship attribution methods", JASIST 60(3), 2009. P is the number of people.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

LONGEST = 5  # characters of an n-gram
_SEED = 0


def is_installed() -> bool:
    """Whether scikit-learn is there."""
    return find_spec("sklearn") is not None


def classify(learned: Sequence[Sequence[str]], texts: Sequence[str]) -> np.ndarray:
    """Says who has written each of some texts, as a place among the people, int [number of texts].

    Args:
        learned: texts of each person, [P]; all people are as likely before.
        texts: to be told apart.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    classifier = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, LONGEST), min_df=2, sublinear_tf=True, lowercase=False),
        SGDClassifier(loss="log_loss", alpha=1e-5, class_weight="balanced", random_state=_SEED),
    )
    whose = np.repeat(np.arange(len(learned)), [len(each) for each in learned])
    classifier.fit([text for each in learned for text in each], whose)
    return np.asarray(classifier.predict(list(texts)))
