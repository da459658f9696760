"""Trains a run and tracks it with MLflow: what it is, its curves as they grow, what it came to.

python examples/with_mlflow.py chat.csv mira runs/mira

Needs `pip install mlflow-skinny`, and goes where MLFLOW_TRACKING_URI says. With Weights & Biases or another tracker
the calls of mlflow are others (`wandb.log(found, step=step)`), and nothing else. Samples are not sent: they begin with
words of the chat.
"""

import sys
from pathlib import Path
from typing import Any

import mlflow

from charflow.model import Report, train

OF_A_RUN = (
    "batch_size",
    "steps_per_epoch",
    "weights",
    "train_characters",
    "held_out_characters",
    "distinct_characters",
)


class ToMlflow:
    """Tells MLflow's active run what charflow tells; it needs no base class, and has the methods that it wants."""

    def planned(self, plan: Any) -> None:
        """Before the first step."""
        mlflow.log_params({name: getattr(plan, name) for name in OF_A_RUN})

    def advanced(self, report: Report) -> None:
        """About twice a second."""
        found = {"training bits": report.train_bits, "windows per second": report.windows_per_second}
        mlflow.log_metrics(found, step=report.step)

    def evaluated(self, row: dict[str, Any]) -> None:
        """After each evaluation."""
        found = {"held-out bits": row["held_out_part_bits"], "accuracy": row["held_out_part_accuracy"]}
        mlflow.log_metrics({name: value for name, value in found.items() if value is not None}, step=row["step"])


def track(chat: str, out: str, **settings: Any) -> None:
    """Trains a run inside of a run of MLflow of the same name."""
    with mlflow.start_run(run_name=Path(out).name):
        run = train(chat, out, listener=ToMlflow(), **settings)
        if held_out := run.read_result()["held_out"]:
            mlflow.log_metric("bits per character", held_out["bits_per_char"])
        mlflow.log_artifact(str(run.curves_file))


if __name__ == "__main__":
    chat, user, out = sys.argv[1:]
    track(chat, out, users=user, units=64, steps=100)
