"""Draws the pictures of docs/how-it-works.md: `python -m docs.pictures` writes docs/pictures/*.svg.

They are narrow, so that a phone can show them, and dark where the reader's system is.
"""

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "pictures"
_WIDTH = 480
_STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328 }
  .code { font-family: ui-monospace, monospace }
  .dim { font-size: 12.5px; fill: #57606a }
  .page { fill: #ffffff; stroke: #d0d7de }
  .box { fill: #e0f2ef; stroke: #00897b }
  .hot { fill: #ffe9c7; stroke: #b26a00 }
  .off { fill: #f0f2f4; stroke: #8c959f }
  .line { stroke: #57606a; fill: none; stroke-width: 1.5; marker-end: url(#head) }
  .head { fill: #57606a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e8eb } .dim { fill: #b0b8c1 } .page { fill: #1e2129; stroke: #3b4048 }
    .box { fill: #12403a; stroke: #4db6ac } .hot { fill: #4a3413; stroke: #ffb74d }
    .off { fill: #2b303a; stroke: #7d8590 } .line { stroke: #b0b8c1 } .head { fill: #b0b8c1 }
  }
"""


def picture(title: str, height: int, parts: Iterator[str]) -> str:
    """A picture as SVG, 480 wide."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}">\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>\n'
        f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>\n{body}\n</svg>\n'
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text; y is its baseline."""
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, words: str, kind: str = "box", font: str = "") -> str:
    """A box with a line of text in its middle."""
    label = text(x + width / 2, y + height / 2 + 5, words, font, "middle")
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>{label}'


def line(*points: tuple[float, float]) -> str:
    """An arrow through points."""
    return f'<path class="line" d="M{" ".join(f"{x} {y}" for x, y in points)}"/>'


def flow() -> str:
    """From a chat to whoever asks the model."""
    rows = (
        ("a chat", "off", "CSV, WhatsApp, Telegram, Slack, …:", "who wrote, and what"),
        ("pipeline", "box", "messages → one text → ids, a byte or two", "a character → windows [B, T] of tf.data"),
        ("model", "box", "a network learns the next character, under", "any tf.distribute strategy → a run's folder"),
        ("export", "box", "weights, text rules and the loop that writes", "in one graph of stock ops → a SavedModel"),
        ("serving", "box", "gRPC and REST: TensorFlow Serving,", "or the embedded server of its protocol"),
        ("anything", "off", "curl, Python, C, Node, a browser,", "another TensorFlow program"),
    )

    def parts() -> Iterator[str]:
        for row, (name, kind, first, second) in enumerate(rows):
            y = 16 + 66 * row
            yield box(16, y, 104, 42, name, kind)
            yield text(136, y + 17, first, "dim") + text(136, y + 35, second, "dim")
            if row:
                yield line((68, y - 24), (68, y - 2))

    return picture("From a chat to whoever asks the model", 16 + 66 * len(rows) - 8, parts())


def windows() -> str:
    """Windows of six characters, three apart, and what follows each."""
    chars, size, length, shift = "oh my dears, tea", 27, 6, 3

    def cells(row: int, first: int, end: int, kind: str) -> Iterator[str]:
        for place in range(first, end):
            yield box(24 + size * place, 44 + 44 * row, size - 3, 28, chars[place].replace(" ", "␣"), kind, "code")

    def parts() -> Iterator[str]:
        yield text(24, 30, "the text", "dim")
        yield from cells(0, 0, len(chars), "off")
        for row, start in enumerate(range(0, 3 * shift, shift), start=1):
            yield from cells(row, start, start + length, "box")
            yield from cells(row, start + length, start + length + 1, "hot")
        yield text(24, 236, "windows, three characters apart, and what each is to learn", "dim")

    return picture("Windows of a text, and the character after each", 252, parts())


def everybody() -> str:
    """Two minutes: everybody first, then one person; what both learned is joined with counts."""

    def parts() -> Iterator[str]:
        yield text(16, 28, "90 s, once for a chat", "dim") + text(340, 28, "30 s for a person", "dim")
        yield box(16, 38, 308, 44, "everybody in the chat", "off") + box(332, 38, 132, 44, "one person")
        yield line((398, 82), (398, 124))
        yield text(388, 108, "the best weights", "dim", "end")
        yield line((90, 82), (90, 124))
        yield text(100, 108, "counts of what follows what", "dim")
        yield box(16, 126, 150, 44, "counts: q", "off") + box(332, 126, 132, 44, "network: p")
        yield line((166, 148), (186, 148)) + line((332, 148), (314, 148))
        yield box(188, 126, 124, 44, "softmax of both", "hot")
        yield text(240, 196, "a · log p + b · log q, where a and b depend on how well", "dim", "middle")
        yield text(240, 214, "the last characters are known", "dim", "middle")

    return picture("Everybody first, then one person, joined with counts", 230, parts())


def writing() -> str:
    """How a character is drawn, and how it goes back into the network."""
    likely = (("t", 150), ("e", 104), ("a", 72), ("␣", 46), ("o", 28))

    def parts() -> Iterator[str]:
        yield box(16, 20, 72, 40, "prompt", "off") + line((88, 40), (106, 40))
        yield box(108, 20, 112, 40, "LSTM, a step") + line((220, 40), (238, 40))
        yield box(240, 20, 116, 40, "÷ temperature") + line((356, 40), (374, 40))
        yield box(376, 20, 88, 40, "top-k, p …")
        yield line((420, 60), (420, 94))
        yield text(16, 88, "probabilities, side by side from 0 to 1:", "dim")
        x = 40
        for char, width in likely:
            yield box(x, 98, width, 36, char, "hot" if char == "e" else "box", "code")
            x += width
        yield line((236, 166), (236, 138))
        yield text(240, 184, "one number, from the row's seed and the place alone", "dim", "middle")
        yield line((236, 194), (236, 222))
        yield box(176, 224, 120, 34, "the character e", "hot")
        yield line((176, 241), (8, 241), (8, 8), (164, 8), (164, 18))
        yield text(240, 278, "which is written, and read as the next", "dim", "middle")

    return picture("How a character is drawn", 292, parts())


def versions() -> str:
    """A label that moves from one version to another."""

    def parts() -> Iterator[str]:
        yield text(16, 30, "models/a/", "code")
        for row, (words, kind) in enumerate((("1  the one before", "box"), ("2", "box"), ("3  a candidate", "off"))):
            yield box(16, 44 + 58 * row, 150, 38, words, kind)
        yield box(268, 102, 84, 38, "stable", "hot", "code") + line((268, 121), (168, 121))
        yield box(396, 102, 68, 38, "callers", "off") + line((396, 121), (354, 121))
        yield line((310, 102), (310, 63), (168, 63)) + text(322, 68, "promote --rollback", "dim")
        yield line((310, 140), (310, 179), (168, 179)) + text(322, 174, "promote 3: compared,", "dim")
        yield text(322, 192, "then moved", "dim")

    return picture("Callers ask for a label, which moves between versions", 214, parts())


PICTURES: dict[str, Callable[[], str]] = {each.__name__: each for each in (flow, windows, everybody, writing, versions)}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")
