"""Dials an endpoint of a gate101 server by one road (docs/PROTOCOL.md), sends a text when the connection is open, and prints
one line of JSON that says what happened. Exits with 0 when the connection was open, else with 1.

    dial.py [--readable] ROAD wss://example.com/live

ROAD: header, ticket, ticket-item, subprotocol, message, or probe, which asks why a handshake is refused. Credentials come
from the environment, where the list of processes does not show them: DIAL_TOKEN, DIAL_USERNAME with DIAL_PASSWORD, DIAL_COOKIE.

Needs the library websockets, from version 10 on.
"""

import argparse
import asyncio
import base64
import http.client
import json
import os
import sys
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.legacy.client import WebSocketClientProtocol, connect

PATIENCE = 20
MAX_BODY = 65536
ROADS = ["header", "ticket", "ticket-item", "subprotocol", "message", "probe"]


class Ended(Exception):
    """The attempt is over. The arguments are what to print: no credential, and no URL that could hold one."""

    def __init__(self, outcome, following, **facts):
        super().__init__()
        self.facts = {"outcome": outcome, **facts, "next": following}


class Protocol(WebSocketClientProtocol):
    """Reads the whole answer of a refused handshake. The library would drop the body, and follow redirects."""

    async def read_http_response(self):
        status, headers = await super().read_http_response()
        if status == 101:
            return status, headers
        length = int(headers.get("Content-Length", 0))  # the gate's own answers always have one
        raise refused(status, headers, await self.reader.readexactly(min(length, MAX_BODY)))


def refused(status, headers, body):
    """An HTTP answer that is a refusal: the app's own, or one of the gate's, which has its code in the body."""
    code = parse(body).get("error", "app")
    after = headers.get("Retry-After") or ""
    more = {"retryAfter": int(after)} if after.isdecimal() else {}
    return Ended("refused", following(status), status=status, code=code, **more)


def closed(close):
    """The Close frame that ended the connection; None where there was none."""
    if close is None:
        return Ended("lost", "wait")
    return Ended("refused", following(close.code, close.reason), close=close.code, code=close.reason)


def following(code, word=""):
    """What a client does after this HTTP status or Close code (section 12)."""
    if code in (401, 4401) or 300 <= code < 400:
        return "renew"
    if code in (408, 4408):
        return "again"
    if word == "too_many_frames":
        return "stop"
    if code in (429, 4429, 1001, 1005, 1011, 1012, 1013) or 500 <= code < 600:
        return "wait"
    return "stop"


def parse(text):
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def credential(endpoint):
    """The credential as HTTP headers. A cookie alone needs the Origin that a browser would send."""
    env = os.environ
    if env.get("DIAL_TOKEN"):
        return {"Authorization": "Bearer " + env["DIAL_TOKEN"]}
    if env.get("DIAL_USERNAME"):
        login = f"{env['DIAL_USERNAME']}:{env.get('DIAL_PASSWORD', '')}"
        return {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
    if env.get("DIAL_COOKIE"):
        scheme = "https" if endpoint.scheme == "wss" else "http"
        return {"Cookie": env["DIAL_COOKIE"], "Origin": f"{scheme}://{endpoint.netloc}"}
    return {}


def send(method, endpoint, path):
    """Sends a plain HTTP request to the server of the endpoint. http.client follows no redirect."""
    kind = http.client.HTTPSConnection if endpoint.scheme == "wss" else http.client.HTTPConnection
    connection = kind(endpoint.netloc, timeout=PATIENCE)
    more = {"Content-Type": "application/json"} if method == "POST" else {}
    try:
        connection.request(method, path, headers={**credential(endpoint), **more})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read(MAX_BODY)
    finally:
        connection.close()


def ask_for_ticket(endpoint):
    """Gets a ticket for one handshake. Here the route that makes them is below the endpoint."""
    status, headers, body = send("POST", endpoint, endpoint.path + "/ticket")
    if status != 200:
        raise refused(status, headers, body)
    answer = parse(body)
    ticket = answer.get("ticket")
    if not isinstance(ticket, str) or answer.get("url") != f"{endpoint.path}?ticket={ticket}":
        raise Ended("unsafe", "stop")  # a ticket for somewhere else
    return ticket


def probe(endpoint):
    answer = refused(*send("GET", endpoint, endpoint.path))
    if answer.facts["status"] == 426:
        answer.facts.update(outcome="open", next="wait")
    raise answer


async def authenticate(socket):
    """Sends the first message. Nothing else may be sent until auth_ok is there."""
    env = os.environ
    login = {"username": env.get("DIAL_USERNAME", ""), "password": env.get("DIAL_PASSWORD", "")}
    await socket.send(json.dumps({"type": "auth", **({"token": env["DIAL_TOKEN"]} if env.get("DIAL_TOKEN") else login)}))
    answer = parse(await socket.recv())
    if answer.get("type") == "auth_ok":
        return {"subject": answer.get("subject"), "expiresIn": answer.get("expiresIn")}
    if answer.get("type") != "auth_error" or not isinstance(answer.get("status"), int):
        raise Ended("unsafe", "stop")
    await socket.wait_closed()  # what auth_error has said counts, whatever the Close says
    facts = {name: answer[name] for name in ("status", "code", "retryAfter") if name in answer}
    raise Ended("refused", following(answer["status"]), close=socket.close_code, **facts)


async def dial(road, endpoint, readable, result):
    query, headers, protocols = "", {}, ["gate101"]
    if road == "header":
        headers = credential(endpoint)
    elif road == "subprotocol":
        token = base64.urlsafe_b64encode(os.environ.get("DIAL_TOKEN", "").encode()).decode().rstrip("=")
        protocols.append("base64url.bearer.authorization.gate101." + token)
    elif road in ("ticket", "ticket-item"):
        result["phase"] = "ticket"
        ticket = ask_for_ticket(endpoint)
        query = "?ticket=" + ticket if road == "ticket" else ""
        protocols += ["ticket.gate101." + ticket] if road == "ticket-item" else []
        headers = {name: value for name, value in credential(endpoint).items() if name == "Origin"}
    elif road == "probe":
        result["phase"] = "probe"
        probe(endpoint)
    result["phase"] = "handshake"
    url = f"{endpoint.scheme}://{endpoint.netloc}{endpoint.path}{query}"
    offered = protocols + ["refusal.gate101"] if readable else protocols
    async with connect(
        url, create_protocol=Protocol, extra_headers=headers, subprotocols=offered, compression=None, open_timeout=PATIENCE
    ) as socket:
        if socket.subprotocol not in (None, "gate101", "refusal.gate101"):
            raise Ended("unsafe", "stop")  # one that carries a credential, not to be printed either
        result["protocol"] = socket.subprotocol or ""
        if socket.subprotocol == "refusal.gate101":
            await socket.recv()  # a Close comes, and nothing else
        if road == "message":
            result["phase"] = "message"
            result.update(await authenticate(socket))
        result["phase"] = "open"
        await socket.send("hello")
        result.update(outcome="open", echo=await socket.recv())


def is_private(endpoint):
    """Whether what is sent there is encrypted, or stays on this machine."""
    return endpoint.scheme == "wss" or (endpoint.scheme == "ws" and endpoint.hostname in ("localhost", "127.0.0.1", "::1"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--readable", action="store_true", help="asks for refusals as a Close frame")
    parser.add_argument("road", choices=ROADS)
    parser.add_argument("url")
    given = parser.parse_args()
    endpoint = urlsplit(given.url)
    result = {"road": given.road, "phase": "handshake"}
    try:
        if not is_private(endpoint) or not credential(endpoint):
            raise Ended("unsafe", "stop")  # never anonymous
        asyncio.run(asyncio.wait_for(dial(given.road, endpoint, given.readable, result), 2 * PATIENCE))
    except Ended as end:
        result.update(end.facts)
    except ConnectionClosed as end:
        result.update(closed(end.rcvd).facts)
    except (OSError, EOFError, ValueError, asyncio.TimeoutError, InvalidHandshake, http.client.HTTPException):
        result.update(outcome="lost", next="wait")
    print(json.dumps(result))
    sys.exit(0 if result["outcome"] == "open" else 1)


if __name__ == "__main__":
    main()
