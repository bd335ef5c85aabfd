"""What was chosen, by short names, in the session and in the page's address.

A link reproduces a view, a reload keeps it. The address is read when a session begins and when the
person goes back or forward; it is written at the end of each run, also after a change of page,
which clears it. Only what differs from its default stands in it, and nothing that could do harm
(`address`); what is typed of that is the session's alone. No value is checked here: whoever reads
one makes sure that it makes sense, for an address may say anything.
"""

from __future__ import annotations

import time
from typing import Any, Final

import streamlit as st

from mmc4viz.ui.address import carried, is_known, may_stand, refused
from mmc4viz.ui.roots import Roots

_CHOSEN: Final = "chosen"
_EPOCH: Final = "epoch"
_SEEDED: Final = "seeded"
_WRITTEN: Final = "written"
_ROOTS: Final = "roots"
_REFUSED: Final = "refused"  # a line about the address, and what was chosen then
_ON_ITS_WAY: Final = 1.0  # seconds in which a browser may not know the newest address yet


def get(name: str, default: str = "") -> str:
    """Return what was chosen under a name."""
    return _chosen().get(name, default)


def put(name: str, value: str | None) -> None:
    """Keep a choice; None forgets it, as does whoever finds that it is the default.

    Raises
    ------
    KeyError
        For a name of which `address` does not know whether it may stand there.
    """
    if not is_known(name):
        raise KeyError(name)
    if value is None:
        _chosen().pop(name, None)
    else:
        _chosen()[name] = value


def named(prefix: str) -> dict[str, str]:
    """Return what was chosen under names that begin with a prefix, by the rest of the name."""
    return {
        name.removeprefix(prefix): value
        for name, value in _chosen().items()
        if name.startswith(prefix)
    }


def whole(name: str, default: int, least: int, most: int) -> int:
    """Return a choice that is a whole number in a range, else the default."""
    text = get(name)
    try:
        value = int(text) if len(text) < 20 else default
    except ValueError:
        return default
    return value if least <= value <= most else default


def seed(key: str, value: Any) -> None:
    """Give a widget its value: when it is drawn anew, and when the choices came from elsewhere."""
    seeded: dict[str, int] = st.session_state.setdefault(_SEEDED, {})
    if key not in st.session_state or seeded.get(key) != epoch():
        st.session_state[key] = value
        seeded[key] = epoch()


def epoch() -> int:
    """Return a number that changes when choices came from elsewhere than the page's widgets."""
    number: int = st.session_state.setdefault(_EPOCH, 0)
    return number


def begin_anew() -> None:
    """Let every widget take its value from the choices again."""
    st.session_state[_EPOCH] = epoch() + 1


def read_address(roots: Roots) -> str:
    """Follow the address when a session begins, and when the person went back or forward.

    Returns
    -------
    str
        A line about what it asks for and is not given, until something else is chosen.
    """
    st.session_state[_ROOTS] = roots
    found = st.query_params.to_dict()
    written, when = st.session_state.get(_WRITTEN, (found, 0.0))
    # An empty address says nothing: a change of page clears it, and the threshold always stands.
    moved = found and found != written and time.monotonic() - when > _ON_ITS_WAY
    if moved or _CHOSEN not in st.session_state:
        own = {k: v for k, v in _chosen().items() if not may_stand(k, v, roots)}
        taken = {k: v for k, v in found.items() if may_stand(k, v, roots)}
        st.session_state[_CHOSEN] = own | taken
        line = refused(found, own, roots)
        st.session_state[_REFUSED] = line, None
        if moved:
            begin_anew()
        return line
    return _line_about_it()


def _line_about_it() -> str:
    """Return the line about the address as long as what is chosen is what it was then."""
    line, then = st.session_state.setdefault(_REFUSED, ("", {}))
    if line and then is None:  # the run that has read it chooses much by itself
        st.session_state[_REFUSED] = line, dict(_chosen())
    return line if then in (None, _chosen()) else ""


def address() -> dict[str, str]:
    """Return what stands in the address."""
    return carried(_chosen(), st.session_state[_ROOTS])


def write_address() -> None:
    """Write the address, if it says anything else."""
    wanted = address()
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
    if st.session_state.get(_WRITTEN, (None, 0.0))[0] != wanted:
        st.session_state[_WRITTEN] = (wanted, time.monotonic())


def _chosen() -> dict[str, str]:
    chosen: dict[str, str] = st.session_state.setdefault(_CHOSEN, {})
    return chosen
