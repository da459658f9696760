"""Calls a model that TensorFlow Serving, or a server like it, serves: prompts in, texts out.

    calls, stream    what to ask for, in which order, and what an answer must hold; no input or output of their own
    retry            tries again while the deadline allows
    grpc_*, rest_*   one request over one protocol
    client, async_client   the two faces: blocking, and for asyncio

`calls` and `stream` are coroutines over a `Transport`. `AsyncClient` awaits them; `Client` drives them with transports
whose coroutines block instead of waiting, so both share every line.
"""
