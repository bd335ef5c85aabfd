"""A local web server that serves files, and fails on demand."""

from __future__ import annotations

import http.server
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Web:
    """What is served, and how.

    Attributes
    ----------
    files : dict
        Contents by path.
    answers : list
        Status codes with headers, sent instead of contents to the next requests.
    drops : list of int
        For each of the next requests, the number of bytes after which the connection is dropped.
    replacing : dict
        Files that replace others once a connection was dropped.
    ranges : bool
        Whether range requests are supported.
    user, signature : str
        Credentials required in a request, if any.
    seen : list of str
        Requests so far: method, path and requested range.
    port : int
    """

    files: dict[str, bytes] = field(default_factory=dict)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)
    replacing: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    user: str = ""
    signature: str = ""
    seen: list[str] = field(default_factory=list)
    port: int = 0

    def url(self, path: str) -> str:
        """Return a file's url."""
        return f"http://127.0.0.1:{self.port}/{path}"


class _Handler(http.server.BaseHTTPRequestHandler):
    web: Web

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        web = self.web
        path, _, query = self.path.lstrip("/").partition("?")
        asked = self.headers.get("Range") or ""
        web.seen.append(f"{self.command} {path} {asked}".strip())
        basic = f"Basic {b64encode(web.user.encode()).decode()}"
        if web.answers:
            status, headers = web.answers.pop(0)
            self._head(status, headers | {"Content-Length": "0"})
        elif (
            web.user and self.headers.get("Authorization") != basic
        ) or web.signature not in query:
            self._head(403, {"Content-Length": "0"})
        elif path not in web.files:
            self._head(404, {"Content-Length": "0"})
        else:
            self._send(web.files[path], asked)

    def _send(self, whole: bytes, asked: str) -> None:
        mark, start = f'"{hash(whole)}"', 0
        match = self.headers.get("If-Range") in (None, mark)
        headers = {"ETag": mark}
        if asked and self.web.ranges and match:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last or len(whole) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(whole)}"
            whole = whole[start : end + 1]
        headers["Content-Length"] = str(len(whole))
        self._head(206 if "Content-Range" in headers else 200, headers)
        if self.command == "HEAD":
            return
        if self.web.drops:
            whole = whole[: self.web.drops.pop(0)]
            self.close_connection = True
            self.web.files.update(self.web.replacing)
        self.wfile.write(whole)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def served(web: Web) -> Iterator[Web]:
    """Serve within the block."""
    handler = type("Handler", (_Handler,), {"web": web})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        web.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield web
        finally:
            server.shutdown()
