"""Runs the blocks of a page in a folder of its own: one shell, one Python, and servers on ports of their own.

The shell finds `charflow`, `charflow-model-server` and `python` as shims (shim.py), whose processes are forked with
TensorFlow loaded, so that a command costs no start. Where a page says 8500 and 8501, blocks use two free ports. A block
whose last command serves is run in the background until it answers, as in a terminal of its own; the server of before
ends then, as by Ctrl-C. No process outlives the session.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests import forked
from tests.docs.blocks import Block
from tests.support import ROOT

HERE = Path(__file__).parent
HOME = "/home/mira/chat"  # what pages call the folder
_BIN = Path(sys.executable).parent
_COMMANDS = ("charflow", "charflow-model-server", "python")
_SERVES = re.compile(r"^charflow(?: serve|-model-server)\b(?!.* --(?:help|version)\b)", re.MULTILINE)
_PATIENCE = 300.0  # seconds for a block, beside other work


class BlockError(AssertionError):
    """A block that did not end as its page says."""


class Session:
    """What the blocks of one page have in common."""

    def __init__(self, folder: Path, state: Path) -> None:
        """Makes the session.

        Args:
            folder: of the page; blocks begin there.
            state: a folder for what is not the page's.
        """
        self.folder, self._state = folder, state
        for place in (folder, state):
            place.mkdir(parents=True, exist_ok=True)
        self._ports = _free_ports()
        self._children: list[subprocess.Popen] = []
        self._servers: list[subprocess.Popen] = []
        self._shell: subprocess.Popen | None = None
        self._python: subprocess.Popen | None = None
        self._printed = state / "printed"
        self._printed.touch()
        self._served = state / "served"
        self._served.touch()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(state / "session"))
        self._listener.listen()
        self._environment = self._make_environment()
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, block: Block) -> str:
        """Runs a block and gives what it printed, as its page would show all of it.

        Raises:
            BlockError: it ended with another status than its page says, or not in time.
        """
        begin = self._printed.stat().st_size
        text = re.sub(r"\b(8500|8501)\b", lambda port: str(self._ports[port[1]]), block.text)
        serves = block.language == "sh" and _SERVES.search(text)
        if serves:
            if "\n" in text[serves.start() :].replace("\\\n", "").strip():
                raise BlockError(f"line {block.line}: what serves is the last command of its block:\n{text}")
            self._stop_servers()
        expected = int(block.said.get("status", 0))
        if block.language == "python":
            status = self._run_python(text, f"line {block.line}")
        else:
            quick = "" if block.output else "1"
            behind = f" > {self._served} 2>&1 &" if serves else ""
            status = self._run_shell(f"export DOCS_QUICK={quick}\n{text.rstrip()}{behind}\n")
        printed = self._await_server() if serves else self._as_shown(self._printed.read_bytes()[begin:])
        if status != expected:
            how = "took too long" if status == -1 else f"ended with status {status}"
            raise BlockError(f"line {block.line} {how}:\n{block.text}---\n{printed}")
        return printed

    def close(self) -> None:
        """Ends every process."""
        self._stop_servers()
        for process in (self._shell, self._python):
            if process and process.stdin:
                process.stdin.close()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for process in filter(None, [*self._children, self._shell, self._python]):
            _end(process)

    # --- the shell and Python

    def _make_environment(self) -> dict[str, str]:
        folder = self._state / "bin"
        folder.mkdir()
        for name in _COMMANDS:
            (folder / name).write_text(f"#!{sys.executable} -IS\n{(HERE / 'shim.py').read_text(encoding='utf-8')}")
            (folder / name).chmod(0o755)
        (self._state / ".curlrc").write_text('write-out = "\\n"\n', encoding="utf-8")  # a line break after each answer
        nothing = "http://127.0.0.1:9"  # a proxy that is not there: blocks ask no other host
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nothing)
        ours = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "DOCS_SESSION": str(self._state / "session"),
            "XDG_CACHE_HOME": str(self._state / "cache"),
            "CURL_HOME": str(self._state),
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "no_proxy": "127.0.0.1",
            "PIP_NO_INDEX": "1",
            "npm_config_offline": "true",
        }
        return {name: value for name, value in os.environ.items() if name != "BASH_ENV"} | proxies | ours

    def _run_shell(self, text: str) -> int:
        if self._shell is None:
            reading, writing = os.pipe()
            self._done = os.fdopen(reading)
            with self._printed.open("ab") as out:
                self._shell = subprocess.Popen(
                    ["bash", "--norc", "--noprofile"],
                    stdin=subprocess.PIPE, stdout=out, stderr=out, text=True,
                    cwd=self.folder, env=self._environment, pass_fds=[writing],
                )  # fmt: skip
            os.close(writing)
            self._writing = writing
        script = self._state / "block.sh"
        script.write_text(text, encoding="utf-8")
        assert self._shell.stdin
        run = f"source {script} </dev/null {self._writing}>&-"
        self._shell.stdin.write(f"failed=0; trap 'failed=$?' ERR; {run}; trap - ERR; echo $failed >&{self._writing}\n")
        self._shell.stdin.flush()
        return int(self._answer(self._done) or -1)

    def _run_python(self, text: str, name: str) -> int:
        if self._python is None:
            with self._printed.open("ab") as out:
                self._python = forked.Popen(
                    [sys.executable, str(HERE / "python_session.py")],
                    stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, text=True,
                    cwd=self.folder, env=self._environment,
                )  # fmt: skip
        assert self._python.stdin
        print(json.dumps({"code": text, "name": name}), file=self._python.stdin, flush=True)
        return 0 if self._answer(self._python.stderr) == "done" else 1

    def _answer(self, stream: Any) -> str:
        """The line that says that a block is done; who waits for too long is let go."""
        late = threading.Timer(_PATIENCE, self._give_up)
        late.start()
        try:
            return stream.readline().strip() or ""
        finally:
            late.cancel()

    def _give_up(self) -> None:
        for process in filter(None, [*self._children, self._shell, self._python]):
            process.kill()

    def _as_shown(self, printed: bytes) -> str:
        text = printed.decode(errors="replace")
        for port, own in self._ports.items():
            text = text.replace(own, port)
        return text.replace(str(self.folder), HOME).replace(str(ROOT), "/home/mira/charflow")

    # --- what the shims ask for

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                asked, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(asked,), daemon=True).start()

    def _serve(self, asked: socket.socket) -> None:
        message, streams, _, _ = socket.recv_fds(asked, 1 << 17, 3)
        request = json.loads(message)
        name, *words = request["words"]
        serves = name == "charflow-model-server" or words[:1] == ["serve"]
        if serves:  # by the embedded server: no other is found
            request["environment"]["PATH"] = str(self._state / "bin")
        process = forked.Popen(
            self._command(name, words),
            stdin=streams[0], stdout=streams[1], stderr=streams[2],
            cwd=request["folder"], env=request["environment"],
        )  # fmt: skip
        for stream in streams:
            os.close(stream)
        self._children.append(process)
        if serves:
            self._servers.append(process)
        with suppress(OSError):  # the shim may be gone
            asked.send(str(process.pid).encode())
        status = process.wait()
        with suppress(OSError):
            asked.send(str(status).encode())
        asked.close()

    def _command(self, name: str, words: list[str]) -> list[str]:
        if name == "python":
            return [sys.executable, *words]
        wanted: Mapping[str, str] = {}
        if words[:1] == ["serve"]:
            wanted = {"--port": self._ports["8500"], "--rest_api_port": self._ports["8501"]}
        elif words[:1] in (["complete"], ["promote"]):
            wanted = {"--server": f"127.0.0.1:{self._ports['8501' if '--rest' in words else '8500']}"}
        given = {word.split("=")[0] for word in words}
        words = words + [f"{option}={value}" for option, value in wanted.items() if option not in given]
        return [sys.executable, str(HERE / "command.py"), name, *words]

    # --- servers

    def _await_server(self) -> str:
        """Waits until the server answers; gives what it printed."""
        until = time.monotonic() + _PATIENCE
        while True:
            printed = self._as_shown(self._served.read_bytes())
            if re.search(r"^Try:", printed, re.MULTILINE) and self._answers():
                return printed
            if any(server.poll() is not None for server in self._servers) or time.monotonic() > until:
                raise BlockError(f"The server did not start:\n{printed}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", int(self._ports["8500"]))):
            return True
        return False

    def _stop_servers(self) -> None:
        for server in self._servers:
            _end(server)
        self._servers.clear()


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports() -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return {"8500": str(first.getsockname()[1]), "8501": str(second.getsockname()[1])}


@contextmanager
def session(folder: Path, state: Path) -> Iterator[Session]:
    """A session, which ends with the `with` block."""
    made = Session(folder, state)
    try:
        yield made
    finally:
        made.close()
