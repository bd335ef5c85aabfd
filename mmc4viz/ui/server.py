"""The dashboard's web server: Streamlit's, behind a guard, with options that keep it to itself.

The guard answers only under the names that the server was started with, which a page of another
site cannot give itself (DNS rebinding), lets no other site's page talk to it, and lets none frame
it. Draws nothing.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
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
_COLLECTED_EVERY: Final = 60.0  # seconds
_HERE: Final = Path(__file__).parent
# What a person may want otherwise, by STREAMLIT_... in the environment.
_OURS: Final = {
    "client_toolbarMode": "minimal",
    "client_disableDataExport": True,  # it would write formulas; the page's own CSV does not
    "client_showErrorDetails": "none",
    "logger_hideWelcomeMessage": True,
    "runner_postScriptGC": False,  # a fifth of a second after each run, while all wait
    "server_fileWatcherType": "none",
    "server_showEmailPrompt": False,
    "theme_base": str(_HERE / "assets" / "theme.toml"),
}
# What only options of `mmc4viz app` loosen.
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


class Guard:
    """ASGI middleware: refuses other names and other sites, and forbids frames.

    Parameters
    ----------
    app : ASGIApp
    own : sequence of str
        Names and addresses of this machine that the server answers to.
    allowed : sequence of str
        Others that a person allowed, a proxy's perhaps; ``*.example.org`` is any below it, ``*``
        any.
    """

    def __init__(self, app: ASGIApp, own: Sequence[str], allowed: Sequence[str]) -> None:
        self._app, self._own = app, tuple(map(_plain, own))
        self._allowed = tuple(map(_plain, allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        why = self._refusal(dict(scope["headers"]))
        if why is None:
            # Where an origin is not the host, Streamlit asks a server far away for its own address.
            headers = [pair for pair in scope["headers"] if pair[0] != b"origin"]
            await self._app({**scope, "headers": headers}, receive, with_headers)
        elif scope["type"] == "http":
            await PlainTextResponse(f"{why}\n", 403)(scope, receive, with_headers)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": why})

    def _refusal(self, headers: dict[bytes, bytes]) -> str | None:
        """Say why a request is refused; None where it is not."""
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        name = _name_in(f"//{host}")
        if not name or not (name in self._own or _matches(name, self._allowed)):
            return "mmc4viz does not answer to this name; start it with --allow-host NAME"
        if not origin or urlsplit(origin).netloc == host:
            return None
        proxy = [one for one in self._allowed if one != "*"]
        if _matches(_name_in(origin), proxy):
            return None
        return "mmc4viz does not answer to other sites; a proxy's name: --allow-host NAME"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(
        one in ("*", name) or (one.startswith("*.") and name.endswith(one[1:])) for one in patterns
    )


def _plain(host: str) -> str:
    return host.strip().strip("[]").lower().rstrip(".")


def _name_in(url: str) -> str:
    """Return the host of an address, empty where it is none.

    Examples
    --------
    >>> _name_in("//LocalHost.:8501"), _name_in("//[::1]:1"), _name_in("//a@b"), _name_in("//a:x")
    ('localhost', '::1', '', '')
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError:
        return ""
    rest = parts.path or parts.query or parts.fragment
    return "" if rest or "@" in parts.netloc else _plain(parts.hostname or "")


def from_environment() -> dict[str, Any]:
    """Return the options that ``STREAMLIT_...`` set, by their names here.

    Raises
    ------
    click.UsageError
        For a value that is none of its option's.
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
    """Serve the pages until somebody stops it.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
    base_path : str
        Under which a proxy passes it on, empty without.
    allowed : sequence of str
        Names that it answers to besides this machine's own.
    browser : bool or None
        Whether to open a browser window; None leaves it to the environment.
    say : callable
        Told what a person is to know.
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
        say(f"{name.replace('_', '.')}: not taken from the environment (see mmc4viz app --help)")
    app = st.App(
        _HERE / "main.py",
        middleware=[Middleware(Guard, own=own, allowed=allowed)],
        lifespan=_telling(host, browser, say),
        on_script_error=html.tell,
    )
    bootstrap.load_config_options(_OURS | wanted | options | fixed)
    gc.freeze()  # what is loaded stays, and need not be searched
    threading.Thread(target=_collect, daemon=True).start()
    with suppress(KeyboardInterrupt):
        UvicornRunner(app).run()


def _collect() -> None:
    """Now and then free what closed sessions held: each keeps three descriptors until then."""
    while True:
        time.sleep(_COLLECTED_EVERY)
        gc.collect()


def _telling(
    host: str, browser: bool, say: Callable[[str], object]
) -> Callable[[st.App], AbstractAsyncContextManager[None]]:
    """Return what says where the pages are as soon as they are served."""

    @asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[None]:
        shown = "127.0.0.1" if host in EVERYWHERE else host
        url = server_util.get_url(f"[{shown}]" if ":" in shown else shown)
        say(f"The pages are at {url} until Ctrl+C.")
        if browser:
            cli_util.open_browser(url)
        yield

    return lifespan
