"""``mmc4viz`` with a clock in the dashboard's server: how long it takes to answer.

    python -m benchmarks.clocked app …

Writes a line of milliseconds to the file `VARIABLE` names for each answer: from a message's
arrival to the last of what it causes having been handed to the socket. What the browser does
before and after is not in it.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from streamlit.runtime.app_session import AppSession
from streamlit.runtime.runtime import Runtime

VARIABLE: Final = "MMC4VIZ_CLOCK"


class Clock:
    """Remembers when each session was told something, and writes how long its answer took."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.told: dict[str, float] = {}

    def start(self, session: str) -> None:
        """Note that something has arrived."""
        self.told[session] = time.perf_counter()

    def stop(self, session: str) -> None:
        """Write down that all was answered."""
        began = self.told.pop(session, None)
        if began is not None:
            with open(self.path, "a") as file:
                file.write(f"{1000 * (time.perf_counter() - began)}\n")


def watch(clock: Clock) -> None:
    """Put the clock where messages come and go."""
    arrived, sent = AppSession.handle_backmsg, Runtime._send_message

    def handle_backmsg(self: AppSession, message: Any) -> None:
        if message.WhichOneof("type") == "rerun_script":
            clock.start(self.id)
        arrived(self, message)

    def send_message(self: Runtime, info: Any, message: Any) -> None:
        sent(self, info, message)
        if message.WhichOneof("type") == "script_finished":
            clock.stop(info.session.id)

    AppSession.handle_backmsg = handle_backmsg
    Runtime._send_message = send_message


if __name__ == "__main__":
    watch(Clock(os.environ[VARIABLE]))
    from mmc4viz.cli import main

    main()
