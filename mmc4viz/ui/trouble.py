"""The last resort: what nobody foresaw is one line on the page, its traceback in the log alone."""

from __future__ import annotations

import logging
from typing import Final

from mmc4viz.ui.inert import note

_LOG: Final = logging.getLogger("mmc4viz")


def log(error: BaseException) -> None:
    """Write a traceback where the server writes."""
    _LOG.error("a page failed", exc_info=error)


def tell(error: BaseException) -> bool:
    """Draw a line that says what to do; True tells Streamlit that nothing more is to be drawn."""
    note(words(error), "error")
    return True


def words(error: BaseException) -> str:
    """Say in a line what to do about an error.

    Examples
    --------
    >>> words(KeyError("a"))
    "This page failed (KeyError): change what was set last, or reload. The server's log has more."
    """
    if isinstance(error, MemoryError):
        what = " ".join(str(error).split())[:200]
        return (
            f"Out of memory{f': {what}' if what else ''}. Open fewer shards, set a sample, or open "
            "an index."
        )
    return (
        f"This page failed ({type(error).__name__}): change what was set last, or reload. The "
        "server's log has more."
    )
