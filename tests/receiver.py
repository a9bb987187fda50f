"""A receiver on loopback that takes what Slack would take, and fails as it is told to."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Mood = Literal["ok", "500", "429", "reset", "hang", "gone", "refused"]
HANG_SECONDS = 30.0
_STATUS = {"ok": 200, "500": 500, "429": 429, "gone": 404, "refused": 400}


class Receiver:
    """What has come in, oldest first: ``taken`` were answered with ok."""

    def __init__(self, mood: Callable[[], Mood]) -> None:
        self.mood = mood
        self.taken: list[tuple[float, Any]] = []
        self.asked = 0
        self.address = ""

    def texts(self) -> list[str]:
        """The fallback texts of the messages taken."""
        return [body["text"] for _, body in list(self.taken)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def receiving(mood: Callable[[], Mood] = lambda: "ok", path: str = "/hook") -> Iterator[Receiver]:
    """A server on a free port until the block is left."""
    receiver = Receiver(mood)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            receiver.asked += 1
            now = receiver.mood()
            if now == "reset":
                hard = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
                self.close_connection = True
                return
            if now == "hang":
                time.sleep(HANG_SECONDS)
                return
            if now == "ok":
                receiver.taken.append((time.time(), body))
            self.send_response(_STATUS[now])
            if now == "429":
                self.send_header("Retry-After", "1")
            answer = b"ok" if now == "ok" else now.encode()
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    receiver.address = f"http://127.0.0.1:{server.server_port}{path}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
