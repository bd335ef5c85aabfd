"""The dashboard's web server: Streamlit's, with restrictive options and a guard.

The guard answers only to the host names that the server was started with (against DNS rebinding),
rejects requests from other sites, and forbids framing.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import cli_util
from streamlit.web import bootstrap, cli
from streamlit.web.server import server_util
from streamlit.web.server.starlette.starlette_server import UvicornRunner

from mmc4viz.ui import html

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
EVERYWHERE: Final = ("0.0.0.0", "::")
_READY_WITHIN: Final = 3.0  # seconds; a browser would start more slowly beside what is loaded
_COLLECTED_EVERY: Final = 60.0  # seconds
_HERE: Final = Path(__file__).parent
# Defaults; STREAMLIT_... environment variables override them.
_OURS: Final = {
    "client_toolbarMode": "minimal",
    "client_disableDataExport": True,  # its CSV can contain formulas; ours cannot
    "client_showErrorDetails": "none",
    "logger_hideWelcomeMessage": True,
    "runner_postScriptGC": False,  # takes 0.2 s after each run
    "server_fileWatcherType": "none",
    "server_showEmailPrompt": False,
    "theme_base": str(_HERE / "assets" / "theme.toml"),
}
# Can only be changed by options of `mmc4viz app`.
_FIXED: Final = {
    "browser_gatherUsageStats": False,
    "client_allowedOrigins": [],
    "global_developmentMode": False,
    "server_enableAgentApi": False,
    "server_enableCORS": True,
    "server_enableStaticServing": False,
    "server_enableXsrfProtection": True,
}
_HEADERS: Final = (
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


_STYLES: Final = f"<style>{html.asset('page.css')}</style>".encode()


class Guard:
    """ASGI middleware: rejects other host names and other sites, and forbids framing.

    Parameters
    ----------
    app : ASGIApp
    own : sequence of str
        Names and addresses of this machine.
    allowed : sequence of str
        Further allowed names, such as a proxy's; ``*.example.org`` allows subdomains, ``*`` all.
    """

    def __init__(self, app: ASGIApp, own: Sequence[str], allowed: Sequence[str]) -> None:
        self._app, self._own = app, tuple(map(_plain, own))
        self._allowed = tuple(map(_plain, allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        why = self._refusal(dict(scope["headers"]))
        if why is None:
            # For an origin that is not the host, Streamlit looks up its external address online.
            headers = [pair for pair in scope["headers"] if pair[0] != b"origin"]
            await self._app({**scope, "headers": headers}, receive, with_headers)
        elif scope["type"] == "http":
            await PlainTextResponse(f"{why}\n", 403)(scope, receive, with_headers)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": why})

    def _refusal(self, headers: dict[bytes, bytes]) -> str | None:
        """Return why a request is rejected; None if it is not."""
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        name = _name_in(f"//{host}")
        if not name or not (name in self._own or _matches(name, self._allowed)):
            return "mmc4viz does not answer to this host name; start it with --allow-host NAME"
        if not origin or urlsplit(origin).netloc == host:
            return None
        proxy = [one for one in self._allowed if one != "*"]
        if _matches(_name_in(origin), proxy):
            return None
        return "mmc4viz does not answer to other sites; allow a proxy with --allow-host NAME"


class Styled:
    """ASGI middleware: puts the pages' style sheet into Streamlit's HTML, after its own styles.

    Streamlit would apply it only after the first elements are drawn, which would then move.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; an HTML page gets the style sheet."""
        asked = dict(scope["headers"]) if scope["type"] == "http" else {}
        if b"text/html" not in asked.get(b"accept", b""):
            await self._app(scope, receive, send)
            return
        begun: Message = {}
        body = bytearray()

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.update(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            answer = bytes(body).replace(b"</body>", _STYLES + b"</body>", 1)
            headers = [(k, v) for k, v in begun["headers"] if k.lower() not in _OF_BODY]
            begun["headers"] = [*headers, (b"content-length", str(len(answer)).encode())]
            await send(begun)
            await send({"type": "http.response.body", "body": answer})

        plain = [pair for pair in scope["headers"] if pair[0] not in _CONDITIONS]
        await self._app({**scope, "headers": plain}, receive, hold)


_OF_BODY: Final = (b"content-length", b"etag", b"last-modified")
_CONDITIONS: Final = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(
        one in ("*", name) or (one.startswith("*.") and name.endswith(one[1:])) for one in patterns
    )


def _plain(host: str) -> str:
    return host.strip().strip("[]").lower().rstrip(".")


def _name_in(url: str) -> str:
    """Return the host of a URL, empty for an invalid one.

    Examples
    --------
    >>> _name_in("//LocalHost.:8501"), _name_in("//[::1]:1"), _name_in("//a@b"), _name_in("//a:x")
    ('localhost', '::1', '', '')
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises if invalid
    except ValueError:
        return ""
    rest = parts.path or parts.query or parts.fragment
    return "" if rest or "@" in parts.netloc else _plain(parts.hostname or "")


def from_environment() -> dict[str, Any]:
    """Return the options set by ``STREAMLIT_...`` environment variables.

    Raises
    ------
    click.UsageError
        For an invalid value.
    """
    params = getattr(cli.configurator_options(lambda: None), "__click_params__")  # noqa: B009
    with click.Command("app", params=params).make_context("app", []) as context:
        return {name: value for name, value in context.params.items() if value not in (None, ())}


def serve(
    *,
    host: str,
    port: int,
    base_path: str,
    allowed: Sequence[str],
    browser: bool | None,
    say: Callable[[str], object],
) -> None:
    """Serve the pages until stopped.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
    base_path : str
        Path prefix behind a proxy; may be empty.
    allowed : sequence of str
        Host names allowed in addition to this machine's own.
    browser : bool or None
        Whether to open a browser window; None leaves it to the environment.
    say : callable
        Called with messages for the user.
    """
    wanted, own = from_environment(), (*LOOPBACK, host)
    if browser is None:
        browser = not wanted.get("server_headless", False)
    options = {
        "server_address": host,
        "server_port": port,
        "server_baseUrlPath": base_path,
        "server_headless": not browser,
    }
    fixed = _FIXED | {"server_allowedHosts": [*own, *allowed], "server_corsAllowedOrigins": []}
    for name in sorted(fixed.keys() & wanted.keys()):
        say(f"{name.replace('_', '.')}: ignored in the environment (see mmc4viz app --help)")
    app = st.App(
        _HERE / "main.py",
        middleware=[Middleware(Guard, own=own, allowed=allowed), Middleware(Styled)],
        lifespan=_telling(host, browser, say),
        on_script_error=html.show_error,
    )
    bootstrap.load_config_options(_OURS | wanted | options | fixed)
    gc.freeze()  # loaded modules need not be collected
    threading.Thread(target=_collect, daemon=True).start()
    with suppress(KeyboardInterrupt):
        UvicornRunner(app).run()


def _load_pages() -> None:
    """Import the pages and count a table before a browser asks for them."""
    import_module("mmc4viz.ui.main")
    start = import_module("mmc4viz.ui.start").read_start()
    import_module("mmc4viz.ui.pairs.sidebar").prepare(start)


def _collect() -> None:
    """Collect garbage regularly: a closed session holds three file descriptors until then."""
    while True:
        time.sleep(_COLLECTED_EVERY)
        gc.collect()


def _telling(
    host: str, browser: bool, say: Callable[[str], object]
) -> Callable[[st.App], AbstractAsyncContextManager[None]]:
    """Return a lifespan that announces the URL when the server is ready."""

    @asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[None]:
        shown = "127.0.0.1" if host in EVERYWHERE else host
        loading = threading.Thread(target=_load_pages, daemon=True)
        loading.start()
        loading.join(_READY_WITHIN)
        url = server_util.get_url(f"[{shown}]" if ":" in shown else shown)
        say(f"mmc4viz is running at {url} (press Ctrl+C to stop)")
        if browser:
            cli_util.open_browser(url)
        yield

    return lifespan
