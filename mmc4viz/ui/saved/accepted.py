"""What an accepted suggestion depends on, and why it no longer applies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from typing import Any, Final

from xxhash import xxh3_128

from mmc4viz.text import plain
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.proposal import Basis
from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import data, label_data
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.html import many, setting_in_words
from mmc4viz.ui.sidebar import Choice

_CORPORA: Memo[str] = Memo()
_NEAR: Final = 1e-9  # thresholds closer than this are the same grid value
_OF_YIELDS: Final = (
    "loader", "min_images", "max_images", "max_tokens", "min_kb", "assignment", "single_image_keep",
    "tokenizer",
)  # fmt: skip
_OF_MATCHING: Final = ("loader", "min_kb", "assignment")


@dataclass(frozen=True)
class Grounds:
    """What an accepted suggestion depends on.

    Attributes
    ----------
    threshold : float
    clip_model : str
    corpus : str
        A digest of the documents (`_corpus`).
    name : str
        The corpus's name, to be shown.
    documents : int
    sample : int
        The sample size; 0 means all documents.
    settings : mapping of str to value
        Those that the suggestion depends on.
    scores : str
        A digest of the matched scores' distribution; empty if it is not known yet.
    labels : str
        A digest of the corpus's labels; empty if the suggestion does not depend on them.
    n_labels : int
    """

    threshold: float
    clip_model: str
    corpus: str
    name: str
    documents: int
    sample: int
    settings: Mapping[str, Any]
    scores: str = ""
    labels: str = ""
    n_labels: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def of_record(cls, found: object) -> Grounds | None:
        """Return what a record holds; None unless every value has its type."""
        if not isinstance(found, dict) or found.keys() != {field.name for field in fields(cls)}:
            return None
        texts = ("clip_model", "corpus", "name", "scores", "labels")
        numbers = ("documents", "sample", "n_labels")
        right = all(isinstance(found[name], str) for name in texts)
        right = right and all(type(found[name]) is int for name in numbers)
        right = right and type(found["threshold"]) in (int, float)
        return cls(**found) if right and isinstance(found["settings"], dict) else None


def grounds(reasons: Mapping[str, Any], threshold: float, choice: Choice) -> Grounds:
    """Return what a suggestion for a threshold depends on now.

    Parameters
    ----------
    reasons : mapping
        The suggestion (`Proposal.as_dict`), or the basis alone if the user named it.
    threshold : float
    choice : Choice

    Raises
    ------
    LabelsError
        If it depends on labels, and their file cannot be read.
    """
    basis, config = reasons.get("basis"), choice.config
    of_basis = _OF_YIELDS if basis in (Basis.YIELD, Basis.COMBINED) else _OF_MATCHING
    names: tuple[str, ...] = of_basis if "target" in reasons else ()
    digest, n_labels = _labels(choice) if _needs_labels(reasons) else ("", 0)
    return Grounds(
        threshold=threshold,
        clip_model=config.clip_model,
        corpus=_corpus(choice.whole),
        name=data.corpus_name(choice.whole),
        documents=data.facts_of(choice.whole).documents,
        sample=choice.whole.sample or 0,
        settings={name: getattr(config, name) for name in names},
        scores=_scores(choice) if names else "",
        labels=digest,
        n_labels=n_labels,
    )


def _needs_labels(reasons: Mapping[str, Any]) -> bool:
    """Whether a suggestion depends on labels, alone or among other targets."""
    targets = reasons.get("targets")
    kinds = [one.get("kind") for one in targets if isinstance(one, dict)] if isinstance(
        targets, list) else []  # fmt: skip
    return Basis.PRECISION in (reasons.get("basis"), *kinds)


def _corpus(source: data.CorpusKey) -> str:
    """Return a digest of the documents' places and sizes, quick to compute for many millions."""
    key = replace(source, sidecar=None, similarity=None)

    def make() -> str:
        parts = (
            xxh3_128(b"".join(part.numbers(name).tobytes() for name in ("offset", "size")))
            for part in data.columns_of(key)
        )
        return xxh3_128("\n".join(sorted(one.hexdigest() for one in parts)).encode()).hexdigest()

    return _CORPORA.get(key, make)


def _scores(choice: Choice) -> str:
    """Return a digest of the matched scores' distribution, empty while they are being matched."""
    if not data.is_matched(choice.whole, choice.config):
        return ""
    spread = data.spread_of(choice.whole, choice.config)
    return blake2b(spread.counts.tobytes(), digest_size=8).hexdigest()


def _labels(choice: Choice) -> tuple[str, int]:
    """Return a digest of the corpus's labels, and their number."""
    holds = label_data.documents_of(choice.whole).holds
    read = store.read(label_data.path_of(choice))
    found = [one for one in read if holds(one.pair.content)]
    texts = sorted(repr((*one.pair.values[2:], one.person, str(one.answer))) for one in found)
    return blake2b("\n".join(texts).encode(), digest_size=8).hexdigest(), len(found)


def difference(then: Grounds, reasons: Mapping[str, Any], choice: Choice) -> str:
    """Return why a suggestion does not apply now, to follow "it was made"; empty if it does."""
    try:
        now = grounds(reasons, choice.config.threshold, choice)
    except Mmc4vizError as error:
        return f"from labels that cannot be read: {error}"
    if then.sample != now.sample:
        return f"for {_sample(then.sample)}, not for {_sample(now.sample)}"
    if then.corpus != now.corpus:
        return f"for {plain(then.name)} ({many(then.documents, 'document')})"
    if then.clip_model != now.clip_model:
        return f"for {plain(then.clip_model)}, not {plain(now.clip_model)}"
    changed = [name for name in now.settings if then.settings.get(name) != now.settings[name]]
    if changed:
        name = changed[0]
        was, here = (setting_in_words(name, of.settings.get(name)) for of in (then, now))
        return f"with {was}, not with {here}"
    if not is_same(then.threshold, now.threshold):
        return f"for threshold {then.threshold:.12g}, not {now.threshold:.12g}"
    if then.labels != now.labels:
        return (
            f"from {many(then.n_labels, 'label')}, which have changed since (now {now.n_labels:,})"
        )
    if then.scores and now.scores and then.scores != now.scores:
        return "from other scores of the same documents"
    return ""


def is_same(one: float, other: float) -> bool:
    """Whether two thresholds are the same grid value."""
    return abs(one - other) < _NEAR


def _sample(size: int) -> str:
    return f"a sample of {size:,} documents" if size else "all documents"
