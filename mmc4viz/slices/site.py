"""The site of a page: the registered domain of its URL, by the public suffix list."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

ADDRESS: Final = "address"
NOT_A_URL: Final = "not a URL"

_AUTHORITY: Final = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#\\\s]*)(?=[/?#]|$)", re.IGNORECASE)
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def authority_of(url: str) -> str:
    """Return the part of a URL that names the server; empty without one.

    Examples
    --------
    >>> authority_of("https://me@www.a.org:8080/b?c"), authority_of("mailto:me@a.org")
    ('me@www.a.org:8080', '')
    """
    found = _AUTHORITY.match(url)
    return found[1] if found else ""


@lru_cache(1)
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # reads its list

    return PublicSuffixList()


def site_of_authority(authority: str) -> str:
    """Return the registered domain, `ADDRESS` for an IP address, `NOT_A_URL` if there is neither.

    International names are returned in ASCII, in which no two look alike. A name that is a public
    suffix itself, or of the local network, is its own site.

    Examples
    --------
    >>> [site_of_authority(one) for one in ("www.News.co.uk:80", "me.github.io", "localhost")]
    ['news.co.uk', 'me.github.io', 'localhost']
    >>> [site_of_authority(one) for one in ("192.0.2.7", "[::1]:80", "a..b", "bücher.example")]
    ['address', 'address', 'not a URL', 'xn--bcher-kva.example']
    """
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        return ADDRESS if _is_address(host[1:].partition("]")[0]) else NOT_A_URL
    host = _in_ascii(host.partition(":")[0].lower().removesuffix("."))
    labels = host.split(".")
    if len(host) > 253 or not all(map(_NAME.fullmatch, labels)):
        return NOT_A_URL
    if _NUMBER.fullmatch(labels[-1]):  # what browsers take for an IPv4 address, or refuse
        return ADDRESS
    return _suffixes().privatesuffix(host) or host


def _in_ascii(host: str) -> str:
    """Return a name as the domain name system has it; unchanged if that fails."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return host


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
