"""Trains on one person of a real chat with and without --reply, and prints what reading the question is worth.

    python experiments/replies.py CHAT USER [--seconds 120] [--questions 10]

CHAT is a file of messages, USER the id of the person. Both runs have equal settings and time, and are judged on the
same answers, the last ones, which neither has seen. Prints a Markdown table of bits per character, and questions of
others from that part, each with what the model answers at temperature 0.5 and what the person did.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from charflow.model.decoding.generator import Generator
from charflow.model.evaluation.run_evaluation import held_out_text
from charflow.model.run.run_dir import RunDir
from charflow.pipeline.marks import END, REPLY, asked

_CHARFLOW = [sys.executable, "-m", "charflow"]


def run(*arguments: object) -> dict:
    """Runs a command; gives the figures that it reports."""
    command = [*_CHARFLOW, *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def pairs(run_dir: RunDir) -> list[list[str]]:
    """The held-out questions that somebody asked, and their answers."""
    text = run_dir.load()[1].decode(held_out_text(run_dir).ids)
    found = [message.split(REPLY) for message in text.split(END) if REPLY in message]
    return [pair for pair in found if pair[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chat", metavar="CHAT")
    parser.add_argument("user", metavar="USER")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--questions", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        common = [arguments.chat, "--user", arguments.user, "--ends", "--from", "none"]
        common += ["--time-limit", arguments.seconds]
        print(f"{arguments.seconds:g} s each, {platform.machine()}, {os.cpu_count()} CPUs\n")
        print("| run | bits per character | without the question | steps |\n| --- | ---: | ---: | ---: |", flush=True)
        for name, more in (("alone", []), ("reply", ["--reply"])):
            trained = run("train", *common, *more, "--out", Path(folder) / name)
            judged = run("evaluate", Path(folder) / name)
            bits = [judged["bits_per_char"], judged.get("bits_per_char_without_question")]
            columns = " | ".join("-" if each is None else f"{each:.4f}" for each in bits)
            print(f"| {' '.join(['train', *more])} | {columns} | {trained['steps']:,} |", flush=True)
        answering = RunDir(Path(folder) / "reply")
        found = pairs(answering)
        chosen = found[:: max(1, len(found) // arguments.questions)][: arguments.questions]
        prompts = [asked(question) for question, _ in chosen]
        texts = Generator.load(answering.path).generate(prompts, temperature=0.5, max_chars=300)
        for (question, answer), text in zip(chosen, texts, strict=True):
            print(f"\n- asked: {question!r}\n  model: {text.text!r}\n  person: {answer!r}")


if __name__ == "__main__":
    main()
