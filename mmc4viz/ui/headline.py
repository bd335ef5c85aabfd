"""The large numbers at one threshold, and the setting that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from mmc4viz.corpus.curves import Curves


@dataclass(frozen=True)
class Headline:
    """The large numbers at one threshold.

    Attributes
    ----------
    documents, image_tokens, text_tokens : float
        In expectation over the coin.
    share : float
        Documents of all, readable or not.
    pairs : float
        Matched pairs at or above the threshold.
    misbound : float
        Misbound of the image tokens.
    """

    documents: float
    share: float
    pairs: float
    image_tokens: float
    text_tokens: float
    misbound: float


@dataclass(frozen=True)
class Compared:
    """A setting to compare with.

    Attributes
    ----------
    label : str
    curves : Curves
    threshold : float
    keep : float
        Odds of a single-image document.
    """

    label: str
    curves: Curves
    threshold: float
    keep: float


def headline(curves: Curves, threshold: float, keep: float) -> Headline:
    """Look the large numbers up at the step of a threshold."""
    step = curves.step(threshold)
    documents, tokens, text_tokens, misbound = (
        float(curves.expected(name, keep)[step])
        for name in ("documents", "image_tokens", "text_tokens", "misbound")
    )
    whole = float(curves.total("documents")[step])
    return Headline(
        documents=documents,
        share=documents / whole if whole else 0.0,
        pairs=float(curves.total("pairs")[step]),
        image_tokens=tokens,
        text_tokens=text_tokens,
        misbound=misbound / tokens if tokens else 0.0,
    )
