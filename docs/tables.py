"""Writes what the pages say of signatures, settings and formats, from the tables of the code: `python -m docs.tables`.

A page marks a block by comments, `<!-- NAME: made by make docs -->` and `<!-- end -->`; what stands between them is
made here, and so are the playground's hints, for metadata have no words. A test compares both with the tables.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from charflow.export.signatures import RECORDS
from charflow.model.decoding.samplers import SAMPLERS
from charflow.model.decoding.settings import LONGEST_STOP, SETTINGS, Setting
from charflow.pipeline.bounds import Bounds
from charflow.pipeline.formats.known import formats

PAGES = sorted(Path(__file__).parent.glob("*.md"))
HINTS = Path(__file__).parents[1] / "serving" / "embedded" / "playground" / "hints.json"
_BLOCK = re.compile(r"(<!-- ([\w ]+): made by make docs -->\n).*?(<!-- end -->)", re.DOTALL)
_WIDTH = 110
_CSV_CHANGES = "rows that cannot be read, with `--skip-bad-rows`; repeated headers"


def rendered(page: str) -> str:
    """Gives a page with its blocks as the tables have them.

    Raises:
        KeyError: nothing here makes a block of that name.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}{_BLOCKS[found[2]]()}\n{found[3]}", page)


def hints() -> str:
    """What the playground says of each setting, as JSON."""
    words = {each.name: f"{each.help} ({_range(each)})".replace(" (any)", "") for each in SETTINGS}
    return json.dumps(words, indent=2, ensure_ascii=False).replace("`", "") + "\n"


def _signatures() -> str:
    settings = [setting.name for setting in SETTINGS]
    rows = []
    for record in RECORDS:
        own = [f"`{each.name}` {each.dtype} [{each.shape}]" for each in record.inputs if each.name not in settings]
        if len(own) < len(record.inputs):
            own.insert(1, "each [setting](#settings)")
        outputs = [f"`{name}` {kind}" for name, kind in record.outputs.items()]
        rows.append((f"`{record.name}`", record.answers, ", ".join(own), ", ".join(outputs)))
    return _table(("signature", "what it answers", "inputs", "outputs"), rows)


def _settings() -> str:
    rows = [
        (f"`{each.name}`", each.dtype, f"`{json.dumps(each.default)}`", _range(each), each.help) for each in SETTINGS
    ]
    order = ", ".join(f"`{sampler.name}`" for sampler in SAMPLERS)
    return (
        f"{_table(('setting', 'type', 'default', 'may be', 'what it does'), rows)}\n\n"
        f"Applied after the temperature, each to what those before it left: {order}."
    )


def _range(setting: Setting) -> str:
    if setting.dtype == "string":
        return f"at most {LONGEST_STOP} characters"
    if setting.dtype == "bool":
        return "`true`, `false`"
    return next(each.in_words() for each in setting.type.__metadata__ if isinstance(each, Bounds)) or "any"


def _formats() -> str:
    rows = [(f"{one.title[0].upper()}{one.title[1:]}", one.files, one.users, one.changed) for one in formats()]
    csv = ("CSV, TSV", "rows of a column of users and one of texts", "what stands in the column of users", _CSV_CHANGES)
    return _table(("format", "what is read", "`--user`", "what is left out, or changed"), [csv, *rows])


def _rest_rows() -> str:
    row = {name: values[0] for name, values in _whole_request(["how do i "]).items()}
    return _curl('{"signature_name": "generate", "instances": [{', row, "}]}")


def _rest_columns() -> str:
    return _curl('{"signature_name": "generate", "inputs": {', _whole_request(["how do i ", "why "]), "}}")


def _whole_request(prompts: list[str]) -> dict[str, list[Any]]:
    asked = {"max_chars": 60, "seed": 7}
    settings = {each.name: [asked.get(each.name, each.default)] * len(prompts) for each in SETTINGS}
    return {"prompt": prompts, **settings}


def _curl(begin: str, inputs: dict[str, Any], end: str) -> str:
    items = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in inputs.items()]
    lines = [f"curl -s -d '{begin}{items[0]}"]
    for item in items[1:]:
        if len(lines[-1]) + len(item) + 2 <= _WIDTH:
            lines[-1] += f", {item}"
        else:
            lines[-1] += ","
            lines.append(f"  {item}")
    return "\n".join(["```sh", *lines[:-1], f"{lines[-1]}{end}' $M:predict", "```"])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows))


_BLOCKS: dict[str, Callable[[], str]] = {
    "signatures": _signatures,
    "formats": _formats,
    "settings": _settings,
    "REST by rows": _rest_rows,
    "REST by columns": _rest_columns,
}


def _write() -> Iterator[str]:
    for path in [*PAGES, HINTS]:
        before = path.read_text(encoding="utf-8")
        after = hints() if path == HINTS else rendered(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            yield path.name


if __name__ == "__main__":
    print("Written:", ", ".join(_write()) or "nothing, all is as the tables have it.")
