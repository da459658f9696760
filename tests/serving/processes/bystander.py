"""Somebody who calls a server all the time, over both doors, and must not notice what others do to it.

    python bystander.py GRPC_ADDRESS REST_ADDRESS REQUEST_IN_HEX REST_PATH REST_BODY

It runs in a process of its own, so that its clock is not that of the test's threads, until its standard input ends.
Then it prints JSON: when each call began by `time.monotonic()` and its latency in seconds, the different answers, and
what failed.
"""

import http.client
import json
import sys
import threading
import time

import grpc

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATIENCE = 30.0  # seconds a call may take
PAUSE = 0.01


def main(grpc_address: str, rest_address: str, request: str, path: str, body: str) -> None:
    ending = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
    predict = grpc.insecure_channel(grpc_address).unary_unary(PREDICT)
    connection = http.client.HTTPConnection(rest_address, timeout=PATIENCE)

    def over_rest() -> str:
        connection.request("POST", path, body)
        response = connection.getresponse()
        return f"{response.status} {response.read().decode()}"

    calls = (lambda: predict(bytes.fromhex(request), timeout=PATIENCE).hex(), over_rest)
    calls_made: list[tuple[float, float]] = []  # when it began, what it took
    answers: set[str] = set()
    failures: list[str] = []
    print("calling", flush=True)
    while not ending.is_set():
        for call in calls:
            began = time.monotonic()
            try:
                answers.add(call())
            except Exception as error:
                failures.append(f"after {time.monotonic() - began:.1f} s: {type(error).__name__}: {error}"[:500])
                connection.close()
            calls_made.append((began, time.monotonic() - began))
            time.sleep(PAUSE)
    print(json.dumps({"calls": calls_made, "answers": sorted(answers), "failures": failures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
