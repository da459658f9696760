"""Trains a small model and runs every example on it; those that write a text must write the same: `make examples`.

python -m examples.all [FOLDER]     # of what it makes; by default a temporary one

Node's packages are installed beside its programs where npm is there; what needs a program that is not is left out.
"""

import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charflow.cli.terminal.tensorflow_log import load_tensorflow

PROMPT, SEED, LENGTH = "good morning my dears, ", "7", 60
HERE = Path(__file__).parent
PYTHON = sys.executable


def printed(*command: object) -> str:
    """Runs a program; gives what it prints, or ends with what it complains of."""
    words = [str(word) for word in command]
    print(f"$ {shlex.join(words)}")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"It ended with status {done.returncode}:\n{done.stderr}")
    print(done.stdout)
    return done.stdout.removesuffix("\n")


@contextmanager
def serving(base: Path) -> Iterator[tuple[str, str]]:
    """Serves the versions of a model by the embedded server; gives its gRPC and its REST address."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = first.getsockname()[1], second.getsockname()[1]
    flags = [f"--model_base_path={base}", f"--model_name={base.name}", f"--port={ports[0]}"]
    command = [PYTHON, "-m", "charflow", "serve", "--backend=embedded", *flags, f"--rest_api_port={ports[1]}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        try:
            if not any(line.startswith("Try:") for line in server.stdout):
                sys.exit("The server did not start.")
            yield f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"
        finally:
            server.terminate()


def made(folder: Path) -> tuple[Path, Path]:
    """Trains a run on the sample chat and exports it; gives the run, and the exported version."""
    load_tensorflow()
    from charflow.export import export_run
    from charflow.model import train
    from charflow.pipeline.sample_chat import write_sample_chat

    print("Training a small model ...")
    write_sample_chat(folder / "chat.csv", messages=2000)
    run = train(str(folder / "chat.csv"), folder / "run", users="mira", units=64, steps=300, cached=False)
    return run.path, export_run(run, folder / "a")


def run_inside_tensorflow(folder: Path, version: Path) -> None:
    """Runs what embeds the model in another TensorFlow program."""
    printed(PYTHON, HERE / "in_a_function.py", version, PROMPT)
    prompts = folder / "prompts.txt"
    prompts.write_text(f"{PROMPT}\noh \n", encoding="utf-8")
    printed("sh", "-c", f"{PYTHON} {HERE / 'in_a_dataset.py'} {version} < {prompts}")
    printed(PYTHON, HERE / "in_a_classifier.py", version)
    printed(PYTHON, HERE / "with_keras.py", folder / "chat.csv", "mira", folder / "keras-run", folder / "mira.keras")
    printed(PYTHON, HERE / "in_a_larger_model.py", version, folder / "suggest" / "1")
    if not shutil.which("curl"):
        return
    with serving(folder / "suggest") as (_, rest):
        body = f'{{"instances": [{{"prompt": "{PROMPT}", "seed": {SEED}}}]}}'
        printed("curl", "-s", "-d", body, f"http://{rest}/v1/models/suggest:predict")


def texts_of_all(folder: Path, run: Path, version: Path) -> dict[str, str]:
    """What each language writes after the prompt."""
    from charflow.model import Generator

    found = {"Python": Generator.load(run).generate(PROMPT, max_chars=LENGTH, seed=int(SEED))[0].text}
    if shutil.which("gcc"):
        printed("make", "-s", "-B", "-C", HERE / "c", f"PYTHON={PYTHON}", f"OUT={folder / 'generate'}")
        found["C"] = printed(folder / "generate", version, PROMPT, SEED)
    if shutil.which("npm"):
        printed("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", HERE / "node")
        printed(PYTHON, HERE / "node" / "protos.py", folder / "serving.desc")
        with serving(version.parent) as (grpc, rest):
            asked = (version.parent.name, PROMPT, SEED)
            found["Node, gRPC"] = printed("node", HERE / "node" / "grpc.mjs", folder / "serving.desc", grpc, *asked)
            found["Node, REST"] = printed("node", HERE / "node" / "rest.mjs", f"http://{rest}", *asked)
    device = folder / "device"
    printed(PYTHON, "-m", "charflow", "export", run, "--litert", "--to", device)
    found["LiteRT"] = printed(PYTHON, device / "run.py", PROMPT, "--seed", SEED, "--length", LENGTH)
    return found


def main() -> None:
    """Runs all, in a folder that is given, or in one that is gone afterwards."""
    if sys.argv[1:]:
        run_all(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="charflow-examples-") as folder:
            run_all(Path(folder).resolve())


def run_all(folder: Path) -> None:
    """Runs all in a folder, and says whether they agree."""
    folder.mkdir(parents=True, exist_ok=True)
    run, version = made(folder)
    run_inside_tensorflow(folder, version)
    texts = texts_of_all(folder, run, version)
    for name, text in texts.items():
        print(f"{name:12}{PROMPT}{text}")
    if len(set(texts.values())) > 1:
        sys.exit("They do not agree.")
    print(f"All {len(texts)} agree.")


if __name__ == "__main__":
    main()
