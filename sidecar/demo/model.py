"""A model that plays a script: the real Codex CLI runs against it without an account and without a network.

It speaks as much of the Responses API as Codex uses (one POST route, answered as a stream of server-sent events) on
127.0.0.1 only. It keeps no conversation: which step is due follows from the request alone, so any number of workers
can share one model. `sidecar.demo.script` describes the scripts. Standard library only.

    python -m sidecar.demo.model [--port-file FILE]
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from sidecar.demo.items import Toolbox, output_item
from sidecar.demo.script import Modifiers, Step, find_script, say, wait_until


def plan(body: dict[str, Any]) -> tuple[Step, int]:
    """The step that answers this request, and its number. The newest user message that holds a script decides.

    Each step that called tools has left a group of neighbouring outputs in the input; their number is the number of
    steps played. Outputs of a poll for a running command (see `sidecar.demo.items`) count to their command's step.
    """
    items = [item for item in body.get("input") or [] if isinstance(item, dict)]
    for start in range(len(items) - 1, -1, -1):
        script = find_script(_text(items[start])) if items[start].get("role") == "user" else None
        if script is not None:
            break
    else:
        return say("ok"), 0
    played = 0
    running: list[dict[str, Any]] = []
    polls: set[Any] = set()
    fresh = True
    for item in items[start + 1 :]:
        kind = str(item.get("type", ""))
        if kind.endswith("_call"):
            if Toolbox.is_poll(item):
                polls.add(item.get("call_id"))
            fresh = True
        elif kind.endswith("_output"):
            if fresh and item.get("call_id") not in polls:
                played += 1
                running = []
            fresh = False
            running = [poll for poll in running if item.get("call_id") not in polls]
            if poll := Toolbox.poll_for(item):
                running.append(poll)
    if running and 0 < played <= len(script) and not any("leave" in action for action in script[played - 1].actions):
        return Step((running[-1],)), played
    return (script[played] if played < len(script) else say("The script is over.")), played


def _text(item: dict[str, Any]) -> str:
    content = item.get("content")
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or "") for part in content or [] if isinstance(part, dict))


class ScriptedModel:
    """The model on a free port of 127.0.0.1, in a thread of its own.

    Attributes:
        url: the provider's `base_url`; ends in `/v1`.
        requests: the JSON bodies received so far, in order.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.stopping = threading.Event()
        self._failures: Counter[tuple[str, str, int]] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread: threading.Thread | None = None

    def start(self) -> ScriptedModel:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="model", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the thread; answers that wait (delay, hang) are cut off."""
        self.stopping.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def wait(self) -> None:
        """Until the thread ends."""
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> ScriptedModel:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def accept(self, body: dict[str, Any]) -> tuple[Step, Modifiers]:
        """Records a request and decides the answer."""
        step, number = plan(body)
        modifiers = step.modifiers
        with self._lock:
            self.requests.append(body)
            if modifiers.times is not None:
                key = (str(body.get("prompt_cache_key")), json.dumps(step.actions), number)
                self._failures[key] += 1
                if self._failures[key] > modifiers.times:
                    modifiers = Modifiers(usage=modifiers.usage)
        return step, modifiers


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], model: ScriptedModel) -> None:
        super().__init__(address, _Handler)
        self.model = model

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that was killed in the middle of an answer is nothing to report; anything else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: stdout belongs to the port, stderr to errors."""

    def do_GET(self) -> None:
        known = self.path.split("?")[0].endswith("/models")
        self._json(200 if known else 404, {"models": [], "data": []} if known else _error("no such route"))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        if not self.path.split("?")[0].rstrip("/").endswith("/responses"):
            return self._json(404, _error("no such route"))
        try:
            body = json.loads(raw)
        except ValueError:
            return self._json(400, _error("the body is not JSON"))
        model = self.server.model
        step, how = model.accept(body)
        wait_until(how, model.stopping.wait)
        model.stopping.wait(how.delay)
        if how.http is not None:
            return self._json(how.http, how.body or _error(f"the script says {how.http}"), how.headers)
        if how.sse == "reset":
            return self._reset()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in self._pieces(body, step, how):
            self._chunk(piece)
        self._chunk("")

    def _pieces(self, body: dict[str, Any], step: Step, how: Modifiers) -> Iterator[str]:
        stopping = self.server.model.stopping
        if how.sse == "empty":
            return
        if how.sse == "malformed":
            yield "event: response.created\ndata: {not json\n\nneither an event\n\n"
            return
        response: dict[str, Any] = {
            "id": f"resp_{uuid4().hex}",
            "object": "response",
            "model": body.get("model"),
            "output": [],
        }
        yield _event("response.created", response={**response, "status": "in_progress"})
        if how.sse == "hang":
            stopping.wait()
            return
        stopping.wait(how.stall)
        if how.sse == "failed":
            error = how.body or {"code": "server_error", "message": "the script says failed"}
            yield _event("response.failed", response={**response, "status": "failed", "error": error})
            return
        if how.sse == "incomplete":
            why = {"reason": "max_output_tokens"}
            yield _event(
                "response.incomplete", response={**response, "status": "incomplete", "incomplete_details": why}
            )
            return
        toolbox = Toolbox(body)
        items = [output_item(action, toolbox) for action in step.actions]
        for index, item in enumerate(items):
            is_message = item.get("type") == "message"
            begun = {**item, "content": []} if is_message else item
            yield _event("response.output_item.added", output_index=index, item=begun)
            if is_message:
                where = {"item_id": item.get("id"), "output_index": index, "content_index": 0}
                yield _event("response.output_text.delta", **where, delta=_text(item))
            yield _event("response.output_item.done", output_index=index, item=item)
        if how.sse == "truncated":
            return
        read, cached, written, reasoned = how.usage
        usage = {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": reasoned},
            "total_tokens": read + written,
        }
        yield _event(
            "response.completed", response={**response, "status": "completed", "output": items, "usage": usage}
        )

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, str(text))
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _reset(self) -> None:
        # Closing with a linger of 0 s sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


def _event(name: str, **fields: Any) -> str:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n"


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "server_error", "code": None}}


def main(arguments: list[str] | None = None) -> int:
    """Serves until it is interrupted; prints the URL, and writes it to `--port-file` for programs."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.demo.model", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--port-file", type=Path, help="the port number is written here")
    options = parser.parse_args(arguments)
    with ScriptedModel(options.port) as model:
        if options.port_file:
            options.port_file.write_text(f"{model.port}\n")
        print(model.url, flush=True)
        try:
            model.wait()
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
