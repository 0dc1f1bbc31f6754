"""A relay on the loopback that adds the bearer token, for HTTP clients that cannot send one.

A `Host` or `Origin` that is not the relay's own goes on as it came, so what a server refuses is refused behind the
relay, too. A test may have the requests rewritten; answers are never changed. Each request has a connection of its own,
and who leaves is followed at once.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

Rewrite = Callable[[dict[str, Any]], dict[str, Any]]
"""Gets a JSON-RPC message and returns what goes on in its place."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Relay

    def handle(self) -> None:
        head = self._head()
        if not head:
            return
        body = self.rfile.read(int(head.get(b"content-length", (b"", b"0"))[1]))
        assert b"transfer-encoding" not in head, "no client of the tests sends chunks"
        if self.server.rewrite is not None:
            body = self._rewritten(body, head)
        lines = [self._first, *(name + b": " + value for name, value in head.values())]
        with socket.create_connection(self.server.target) as upstream:
            upstream.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            ends = (self.connection, upstream)
            with contextlib.suppress(ConnectionError):
                while True:
                    ready, _, _ = select.select(ends, [], [])
                    if self.connection in ready and not self.connection.recv(65_536):
                        return
                    if upstream in ready:
                        data = upstream.recv(65_536)
                        if not data:
                            return
                        self.connection.sendall(data)

    def _rewritten(self, body: bytes, head: dict[bytes, tuple[bytes, bytes]]) -> bytes:
        assert self.server.rewrite is not None
        try:
            message = json.loads(body)
        except ValueError:
            return body
        if not isinstance(message, dict) or not isinstance(message.get("params"), dict):
            return body
        new = self.server.rewrite(message)
        for key in ("name", "uri"):
            # The routing header says the same as the body, or differs on purpose.
            old = str(message["params"].get(key)).encode()
            if key in message["params"] and head.get(b"mcp-name", (b"", b""))[1] == old:
                head[b"mcp-name"] = (b"Mcp-Name", str(new["params"][key]).encode())
        body = json.dumps(new).encode()
        head[b"content-length"] = (b"Content-Length", b"%d" % len(body))
        return body

    def _head(self) -> dict[bytes, tuple[bytes, bytes]]:
        self._first = self.rfile.readline().rstrip(b"\r\n")
        head: dict[bytes, tuple[bytes, bytes]] = {}
        while line := self.rfile.readline().rstrip(b"\r\n"):
            name, _, value = line.partition(b":")
            head[name.lower()] = (name, value.strip())
        if not self._first:
            return {}
        if head.get(b"host", (b"", b""))[1] == self.server.authority:
            head[b"host"] = (b"Host", b"%s:%d" % (self.server.target[0].encode(), self.server.target[1]))
        head[b"authorization"] = (b"Authorization", self.server.credentials)
        head[b"connection"] = (b"Connection", b"close")
        return head


class _Relay(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target: tuple[str, int], token: str, rewrite: Rewrite | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rewrite = rewrite
        self.target = target
        self.credentials = f"Bearer {token}".encode()
        self.authority = b"127.0.0.1:%d" % self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no fault; what it then misses, it says itself."""


@contextlib.contextmanager
def relayed(url: str, token: str, rewrite: Rewrite | None = None) -> Iterator[str]:
    """An address on which everything reaches `url` with the token."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with _Relay((parts.hostname, parts.port), token, rewrite) as relay:
        thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield urlunsplit(parts._replace(netloc=relay.authority.decode()))
        finally:
            relay.shutdown()
            thread.join()
