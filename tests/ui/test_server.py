"""The dashboard's server: allowed hosts and origins, environment variables, messages."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner

from mmc4viz.cli import app as dashboard
from mmc4viz.cli import cli
from mmc4viz.types import ConfigError
from mmc4viz.ui import server, start
from mmc4viz.ui.server import Guard


def asked(kind: str, host: str, origin: str | None = None, *allowed: str) -> list[dict[str, Any]]:
    """Send a request through the guard; return what is answered, the app's answer being 200."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert b"origin" not in dict(scope["headers"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        else:
            await send({"type": "websocket.accept"})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    headers = [(b"host", host.encode("latin-1"))] + [(b"origin", (origin or "").encode())] * (
        origin is not None
    )
    scope = {"type": kind, "headers": headers, "method": "GET", "path": "/"}
    answer = Guard(app, (*server.LOOPBACK, "10.0.0.7"), allowed)(scope, receive, send)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as thread:  # a browser's driver has a loop in this one
        thread.submit(asyncio.run, answer).result()
    return sent


def answered(kind: str, *request: Any) -> bool:
    first = asked(kind, *request)[0]
    return first.get("status") == 200 or first["type"] == "websocket.accept"


OWN = ["localhost", "localhost:8501", "127.0.0.1:1", "[::1]:8501", "LocalHost.", "10.0.0.7:80"]
OTHERS = [
    "", "evil.example", "evil.example:8501", "localhost.evil.example", "127.0.0.1.evil.example",
    "127.0.0.1@evil.example", "evil.example#localhost", "localhost/x", "localhost:x", "0.0.0.0",
    "[::2]", "127.0.0.2", "2130706433", "\xff", "*", "localhost evil", "::1", "10.0.0.70",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_the_server_answers_to_its_own_names_alone(kind: str) -> None:
    for host in OWN:
        assert answered(kind, host), host
    for host in OTHERS:
        assert not answered(kind, host), host
    assert answered(kind, "evil.example", None, "*")
    assert answered(kind, "a.lab.example:443", None, "*.lab.example")
    assert not answered(kind, "lab.example", None, "*.lab.example")
    assert answered(kind, "Lab.Example", None, "lab.example")


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_pages_of_other_sites_may_not_talk_to_it(kind: str) -> None:
    own = "127.0.0.1:8501"
    assert answered(kind, own, f"http://{own}")
    assert answered(kind, own, f"https://{own}")
    assert answered(kind, own, "https://lab.example", "lab.example")  # a proxy's Host is its own
    for origin in (
        "null", "http://evil.example", "http://127.0.0.1:3000", "http://localhost:8501",
        "http://127.0.0.1:8501.evil.example", "file://",
    ):  # fmt: skip
        assert not answered(kind, own, origin), origin
        assert not answered(kind, own, origin, "*"), origin


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_no_answer_may_be_framed(host: str) -> None:
    headers = dict(asked("http", host)[0]["headers"])
    assert headers[b"x-frame-options"] == b"DENY"
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]


class Served:
    """What `mmc4viz app` gives its server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
        self.options: dict[str, Any] = {}
        monkeypatch.setattr(start, "_given", None)
        monkeypatch.setattr(server, "serve", lambda **options: self.options.update(options))
        monkeypatch.setattr(dashboard, "_bindable_port", lambda host, port: port or 8501)
        result = CliRunner().invoke(cli, ["app", *arguments])
        assert result.exit_code == 0, result.output
        self.said, self.started = result.output, start._given or {}


def test_the_environment_sets_what_the_person_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Served(monkeypatch).options["host"] == "127.0.0.1"
    for name, value in {"PORT": "8600", "ADDRESS": "127.0.0.2", "BASE_URL_PATH": "/p"}.items():
        monkeypatch.setenv(f"STREAMLIT_SERVER_{name}", value)
    served = Served(monkeypatch).options
    assert (served["host"], served["port"], served["base_path"]) == ("127.0.0.2", 8600, "/p")
    served = Served(monkeypatch, "--host", "::1", "--port", "1234", "--base-path", "/q").options
    assert (served["host"], served["port"], served["base_path"]) == ("::1", 1234, "/q")
    monkeypatch.setenv("STREAMLIT_SERVER_MAX_UPLOAD_SIZE", "7")
    monkeypatch.setenv("STREAMLIT_SERVER_FOLDER_WATCH_LIST", "a b")
    found = server.from_environment()
    assert found["server_maxUploadSize"] == 7
    assert found["server_folderWatchList"] == ("a", "b")


class _RunError(Exception):
    """Raised in place of serving."""


def test_security_is_not_loosened_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = {
        "STREAMLIT_SERVER_ENABLE_CORS": "false", "STREAMLIT_SERVER_ALLOWED_HOSTS": "*",
        "STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION": "false",
        "STREAMLIT_SERVER_CORS_ALLOWED_ORIGINS": "http://evil.example",
        "STREAMLIT_SERVER_ENABLE_STATIC_SERVING": "true",
        "STREAMLIT_SERVER_ENABLE_AGENT_API": "true",
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "true",
        "STREAMLIT_CLIENT_TOOLBAR_MODE": "viewer",
    }  # fmt: skip
    for name, value in loose.items():
        monkeypatch.setenv(name, value)
    options: dict[str, Any] = {}
    said: list[str] = []

    def load(found: dict[str, Any]) -> None:
        options.update(found)
        raise _RunError

    monkeypatch.setattr(server.bootstrap, "load_config_options", load)
    with pytest.raises(_RunError):
        server.serve(
            host="127.0.0.1", port=1, base_path="", allowed=["lab.example"], browser=None,
            say=said.append,
        )  # fmt: skip
    assert options["server_enableCORS"] is True
    assert options["server_enableXsrfProtection"] is True
    assert options["server_enableStaticServing"] is False
    assert options["server_enableAgentApi"] is False
    assert options["browser_gatherUsageStats"] is False
    assert "*" not in options["server_allowedHosts"]
    assert "lab.example" in options["server_allowedHosts"]
    assert options["server_corsAllowedOrigins"] == []
    assert options["client_toolbarMode"] == "viewer"
    assert options["logger_hideWelcomeMessage"] is True
    assert len(said) == len(loose) - 1
    assert "server.enableCORS: ignored in the environment" in " ".join(said)


def test_listening_on_all_interfaces_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "can read" not in Served(monkeypatch).said
    said = Served(monkeypatch, "--host", "0.0.0.0").said
    assert "anyone who can reach this machine can read" in said
    assert "and write to them" in said
    assert said.count("\n") == 1
    assert "write there" not in Served(monkeypatch, "--host", "0.0.0.0", "--read-only").said


def test_roots_are_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    served = Served(monkeypatch, "--root", str(tmp_path), "--root", "s3://b/c", "--read-only")
    assert served.started["roots"] == [str(tmp_path), "s3://b/c"]
    assert served.started["read_only"] is True
    with pytest.raises(ConfigError, match="no: no such folder"):
        dashboard._root(str(tmp_path / "no"))
