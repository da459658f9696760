"""Stands on the PATH of a page's shell as `charflow`, `charflow-model-server` and `python`, and costs no start.

It hands its arguments, folder, environment and streams to the session (session.py), which has a process with TensorFlow
loaded forked for them, passes signals on to that, and ends with its status.
"""

import json
import os
import signal
import socket
import sys

asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asked.connect(os.environ["DOCS_SESSION"])
words = [sys.argv[0].rpartition("/")[2], *sys.argv[1:]]
request = {"words": words, "folder": os.getcwd(), "environment": {**os.environ}}  # noqa: PTH109 (pathlib takes longer)
socket.send_fds(asked, [json.dumps(request).encode()], [0, 1, 2])
process = int(asked.recv(100))
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: os.kill(process, number))
status = int(asked.recv(100))
os._exit(status if status >= 0 else 128 - status)
