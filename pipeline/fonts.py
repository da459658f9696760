"""Finds fonts for names in any script, so that a chart shows what it can and matplotlib has nothing to warn of.

`explore` draws user ids with them. A machine has fonts for some scripts: matplotlib brings none for Chinese, Japanese,
Korean and emoji.
"""

from collections.abc import Iterable, Iterator

_BOX = "□"  # stands for a character that no font here has
_NO_LETTERS = ("Last Resort", "cm", "STIXNonUnicode", "STIXSize")  # frames for everything, and old encodings


def fonts_for(texts: Iterable[str], family: str) -> tuple[list[str], set[str]]:
    """Chooses font families for texts: the wanted one, and others for the characters that it lacks.

    Returns:
        The families, in the order in which matplotlib is to look through them, and the characters that none has.
    """
    from matplotlib import font_manager

    families, left = [family], {char for text in texts for char in text}
    left -= _characters_of(font_manager.findfont(font_manager.FontProperties(family=[family])))
    for name, characters in _others() if left else ():
        if left & characters:
            families.append(name)
            left -= characters
        if not left:
            break
    return families, left


def drawable(text: str, lacking: set[str]) -> str:
    r"""Writes boxes for what no font has, and keeps dollar signs from being read as mathematics.

    >>> drawable("mira 中$", {"中"})
    'mira □\\$'
    """
    return "".join(_BOX if char in lacking else char for char in text).replace("$", r"\$")


def one_line(text: str, length: int) -> str:
    """Makes a label of a text: a box for what is no sign, such as a line end, and no more than `length` characters.

    >>> one_line("mi\\nra and others", 8)
    'mi□ra a…'
    """
    shown = "".join(char if char.isprintable() else _BOX for char in text[:length])
    return shown if len(text) <= length else f"{shown[: length - 1]}…"


def _others() -> Iterator[tuple[str, set[str]]]:
    from matplotlib import font_manager

    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: (entry.style != "normal", entry.name)):
        if not entry.name.startswith(_NO_LETTERS):
            yield entry.name, _characters_of(entry.fname)


def _characters_of(path: str) -> set[str]:
    from matplotlib import font_manager

    try:
        font = font_manager.get_font(path)
        return set(map(chr, font.get_charmap())) if font.scalable else set()  # emoji in colour are pictures
    except (OSError, RuntimeError):  # FreeType cannot read it
        return set()
