"""Dials a WebSocket with the library websockets and prints the echo of one text.

When the handshake is refused it prints the status and the challenge of the answer and exits with 1.

    dial.py URL [KEY [TEXT]]
"""

import asyncio
import sys

import websockets

MAJOR = int(websockets.__version__.split(".")[0])
HEADERS = "additional_headers" if MAJOR >= 14 else "extra_headers"


async def dial(url: str, key: str = "", text: str = "hello") -> None:
    headers = {"X-Api-Key": key} if key else {}
    async with websockets.connect(url, **{HEADERS: headers}) as socket:
        await socket.send(text)
        print(await socket.recv())


def refused(error: Exception) -> None:
    answer = getattr(error, "response", error)  # before version 14 the error itself holds the answer
    print(answer.status_code)
    print(answer.headers.get("WWW-Authenticate"))
    sys.exit(1)


try:
    asyncio.run(dial(*sys.argv[1:]))
except websockets.exceptions.InvalidHandshake as error:
    refused(error)
