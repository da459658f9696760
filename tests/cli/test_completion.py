"""What shells complete: the words that they are told, in the forms that bash, zsh and fish take."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

from charflow.model.config import CellKind, OptimizerKind
from charflow.model.decoding.contexts import ContextKind
from charflow.model.distributed.strategy import StrategyKind
from charflow.pipeline.formats.known import AUTO, NAMES

OFFERED = {
    "charflow tr": ["train"],
    "charflow exp": ["explore", "export"],
    "charflow bench tr": ["train"],
    "charflow train --win": ["--window-length", "--window-shift"],
    "charflow train chat.csv --out runs/a --cell ": [*get_args(CellKind)],
    "charflow train --optimizer ": [*get_args(OptimizerKind)],
    "charflow train --preset t": ["tutorial"],
    "charflow train --strategy ": [*get_args(StrategyKind)],
    "charflow train --format ": [AUTO, *NAMES],
    "charflow train --unicode-form ": ["NFC", "NFKC"],
    "charflow generate runs/a --context ": [*get_args(ContextKind)],
    "charflow generate runs/a --unknown ": ["warn", "skip", "error"],
    "charflow generate --typ": ["--typical-p"],
    "charflow serve --backe": ["--backend"],
    "charflow serve --model_b": ["--model_base_path"],
    "charflow launch --workers 2 -- train chat.csv --unit": ["--units"],
    # The shell's own: files and folders.
    "charflow generate ": [],
    "charflow generate ru": [],
    "charflow train --out ": [],
    "charflow export runs/a --hub ": [],
    "charflow serve --model_base_path ": [],
}
PROGRAM = """
import contextlib, io, json, os, sys
from charflow.cli.app import run
sys.argv[0] = "charflow"
found = []
for asked in json.load(sys.stdin):
    os.environ.update(asked)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        run([])
    found.append(out.getvalue())
heavy = sorted({"tensorflow", "keras", "pandas", "matplotlib", "grpc"} & set(sys.modules))
json.dump({"found": found, "heavy": heavy}, sys.stdout)
"""


def completed(asked: list[dict[str, str]]) -> list[str]:
    """What the command prints for each of several questions of shells; all are put to one process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=json.dumps(asked), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["heavy"] == []  # or each press of the key would take seconds
    return told["found"]


def test_bash_is_offered_commands_options_and_choices() -> None:
    asked = [
        {"_CHARFLOW_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
        for typed in OFFERED
    ]
    assert dict(zip(OFFERED, map(str.split, completed(asked)), strict=True)) == OFFERED


def test_zsh_and_fish_are_offered_them_in_their_own_way() -> None:
    choice, path, command = "charflow train --cell ", "charflow train --out ", "charflow demo"
    fish = {"_CHARFLOW_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    zsh = {"_CHARFLOW_COMPLETE": "complete_zsh"}
    asked = [{**shell, "_TYPER_COMPLETE_ARGS": typed} for shell in (zsh, fish) for typed in (choice, path, command)]
    zsh_choice, zsh_path, zsh_command, fish_choice, fish_path, fish_command = map(str.strip, completed(asked))
    assert zsh_choice.splitlines() == ['_arguments \'*: :(("lstm"', '"gru"))\'']
    assert zsh_path == "_files"
    assert zsh_command.startswith('_arguments \'*: :(("demo":"Write a sample chat')
    assert fish_choice.splitlines() == ["lstm", "gru"]
    assert fish_path == ""
    assert fish_command.startswith("demo\tWrite a sample chat")


def test_bash_is_offered_them_by_the_script_that_it_is_given() -> None:
    script = (
        'eval "$(_CHARFLOW_COMPLETE=source_bash charflow)"; COMP_WORDS=(charflow train --cell ""); COMP_CWORD=3; '
        'function=$(complete -p charflow | sed "s/.*-F \\([^ ]*\\).*/\\1/"); $function charflow; echo "${COMPREPLY[@]}"'
    )
    path = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=path, capture_output=True, text=True)
    assert done.stdout.split() == [*get_args(CellKind)], done.stderr
