"""Text as Unicode code points: what a vocabulary counts and looks up. NumPy only."""

import numpy as np

CODE_POINTS = 0x110000  # that there are
COUNTED = 2 * CODE_POINTS  # what is only read is so much higher than what is learned (see `read_only`)


def points_of(text: str) -> np.ndarray:
    """Gives the code points of a text, uint32 [N]; lone surrogates count as what they are.

    >>> points_of("aé").tolist()
    [97, 233]
    """
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def count_points(counts: np.ndarray, points: np.ndarray) -> None:
    """Adds the code points [N] to their counts [COUNTED], in place."""
    found = np.bincount(points)
    counts[: len(found)] += found


def named(counts: np.ndarray) -> dict[str, int]:
    """Gives the counts [COUNTED] of the characters that occur; those that are only read have none."""
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts[:CODE_POINTS])}
