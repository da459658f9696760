"""Runs `charflow` or `charflow-model-server` for a block: `python command.py charflow train ...`.

What is printed on both streams comes in order, as on a terminal. DOCS_QUICK is set where nothing of that is shown: then
a training without a limit takes a few steps of a small network, neither texts nor checks are made, and servers do not
warm up.
"""

import os
import sys

_LIMITS = ("--steps", "--epochs", "--time-limit", "--resume", "--config", "--help")
_FEW = ("--steps", "3", "--units", "8", "--evaluations", "1")


def cut_short(words: list[str]) -> list[str]:
    """The command line of a training, or of a server's start, that takes a moment."""
    if words[:1] == ["serve"]:
        return [*words, "--enable_model_warmup=false"]
    limited = any(word.split("=")[0] in _LIMITS for word in words)
    return words if limited or "train" not in words or words[0] not in ("train", "launch") else [*words, *_FEW]


def leave_out_texts() -> None:
    """Leaves out the texts and the picture of a run, and the check of an export, which take longer than the rest."""
    from charflow.export import check
    from charflow.model.evaluation.memorisation import Memorisation
    from charflow.model.training import chief, samples

    samples.SampleWriter.__call__ = lambda *_, **__: iter([])
    chief.memorised = lambda *_: Memorisation(0, 0, {"0.5": 0.0, "1": 0.0}, 0, 0, "", "", None)
    chief.plot_curves = lambda *_, **__: None
    check.check_in_fresh_process = lambda *_, **__: []


if __name__ == "__main__":
    sys.path.pop(0)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "charflow":
        from charflow.cli import main

        if os.environ.get("DOCS_QUICK"):
            leave_out_texts()
            sys.argv[1:] = cut_short(sys.argv[1:])
    else:
        from charflow.serving.launch.model_server import main
    main()
