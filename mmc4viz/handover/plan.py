"""What is to become of one document so that the unmodified loader does to it what was chosen.

Pure: a document and a setting in, a plan out. The plan names images, sentences and entries of the
matrix by the document's own indices; changing the JSON is `edit`'s job, and whether the loader
then does what was planned is for the literal walk to say (`Plan.holds`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mmc4viz.handover.changes import (
    Edit,
    lowered_entries,
    new_order,
    rescored,
    spaced_sentences,
    to_drop,
    valid_images,
)
from mmc4viz.handover.chosen import (
    Match,
    all_decodable,
    choose,
    expected_of,
    is_misbound,
    several,
)
from mmc4viz.handover.options import OWN, Options, loader_config
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.loader.walk import walk
from mmc4viz.model import Document, Fate, LoaderConfig, Outcome, Verdict

_HANDED_OVER = (Fate.KEPT, Fate.TRUNCATED)


@dataclass(frozen=True)
class Plan:
    """What was chosen of one document, and how to bring it about.

    Attributes
    ----------
    pairs : tuple of Match
        The chosen pairs in the order in which the loader shall hand over their images; empty for
        a document that the setting rejects.
    expected : Verdict or None
        What the loader is to make of exactly these; None for a rejected document.
    edit : Edit
        The first to be tried.
    is_right : bool
        Whether the document is right as it is, and not to be touched.
    spaced : int
        Literal special tokens of the text that get a space.
    shared : str or None
        Words for the sentence that got several images, which no loader's flag brings about.
    impossible : str or None
        Words for why the document cannot be rewritten.
    rescued : bool
        Whether an image that is left out would cost the document.
    rejected_anyway : bool
        Whether the loader rejects the document as it is.
    other_odds : bool
        Whether the options give the document another probability than the setting alone.
    """

    pairs: tuple[Match, ...] = ()
    expected: Verdict | None = None
    edit: Edit = field(default_factory=Edit)
    is_right: bool = False
    spaced: int = 0
    shared: str | None = None
    impossible: str | None = None
    rescued: bool = False
    rejected_anyway: bool = False
    other_odds: bool = False

    def holds(self, verdict: Verdict, order: tuple[int, ...]) -> bool:
        """Whether a rewritten document's walk says what was chosen; ``order`` is its edit's."""
        if self.expected is None:
            return verdict.keep_probability == 0
        wanted = [
            (image, sentence, pair.fate)
            for (image, sentence, _), pair in zip(self.pairs, self.expected.pairs, strict=True)
        ]
        return _handed_over(verdict, order) == wanted and all(
            getattr(verdict, name) == getattr(self.expected, name)
            for name in ("outcome", "keep_probability", "image_tokens", "text_tokens", "misbound",
                         "token_ids")
        )  # fmt: skip


def _handed_over(verdict: Verdict, order: tuple[int, ...]) -> list[tuple[int, int, Fate]]:
    """Return the pairs within the cap, by the images' old indices."""
    return [
        (order[pair.image] if order else pair.image, pair.sentence, pair.fate)
        for pair in verdict.pairs
        if pair.fate in _HANDED_OVER
    ]


def plan_document(
    document: Document,
    config: LoaderConfig,
    options: Options,
    tokenizer: Tokenizer,
    own: Document | None = None,
) -> Plan:
    """Plan what is to become of one document.

    Parameters
    ----------
    document : Document
        Measured in full, with the similarity that the setting was chosen on.
    config : LoaderConfig
        The chosen setting.
    options : Options
    tokenizer : Tokenizer
    own : Document, optional
        The document as the shard has it, where that carries another similarity.
    """
    loader = walk(own or document, loader_config(config), tokenizer)
    sorting = options.order == "sentence"
    pairs, over = choose(document, config, options)
    if sorting:
        pairs = sorted(pairs, key=lambda pair: pair[1])
    sentences, spaced = spaced_sentences(document, pairs) if sorting else ({}, 0)
    expected = expected_of(_with(document, sentences), pairs, config, tokenizer)
    odds = 0.0 if expected is None else expected.keep_probability
    bad = options.drop_undecodable and all_decodable(document, config.min_kb) is not document
    other = bool(spaced or bad or (options.cap == "best" and over))
    other = other and walk(document, config, tokenizer).keep_probability != odds
    if expected is None or expected.outcome is not Outcome.KEPT:
        return replace(_rejected(document, loader, options), other_odds=other)
    plan = Plan(tuple(pairs), expected, shared=several(pairs), rescued=bad, other_odds=other)
    if plan.shared is not None:
        return plan
    if sorting and is_misbound(expected):
        return replace(plan, impossible="an image token of its text cannot be bound to an image")
    drop = to_drop(document, pairs, over, config, options)
    untouched = own is None and not sentences and (options.keep_rejected_images or not drop)
    if untouched and plan.holds(loader, ()):
        return replace(plan, is_right=True)
    edit = Edit(
        drop,
        new_order(document, pairs),
        sentences,
        None if own is None else np.array(document.similarity).tolist(),
        rescored(document, pairs, config),
    )
    return replace(plan, edit=edit, spaced=spaced)


def attempts(plan: Plan, document: Document, config: LoaderConfig) -> Iterator[Edit]:
    """Yield edits that may bring a plan about, the mildest first.

    As planned; with the entries that compete with the chosen pairs lowered; with all entries
    but theirs on one low level.
    """
    yield plan.edit
    if plan.expected is None:
        return
    rows = np.array(document.similarity).astype(np.float64)
    valid = valid_images(document, OWN.min_kb) - plan.edit.drop
    for level in (False, True):
        scores = lowered_entries(rows, sorted(valid), plan.pairs, config.threshold, level=level)
        yield replace(plan.edit, scores={**plan.edit.scores, **scores}, lowered=len(scores))


def _with(document: Document, sentences: Mapping[int, str]) -> Document:
    if not sentences:
        return document
    texts = [sentences.get(at, text) for at, text in enumerate(document.sentences)]
    return replace(document, sentences=texts)


def _rejected(document: Document, loader: Verdict, options: Options) -> Plan:
    """Plan for a document that the setting rejects: the loader must reject it as well."""
    present = frozenset(at for at, image in enumerate(document.images) if image.present)
    rejects = loader.keep_probability == 0
    keep = options.keep_rejected_images or document.error is not None or not present
    return Plan(edit=Edit(drop=present), is_right=rejects and keep, rejected_anyway=rejects)
