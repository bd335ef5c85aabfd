"""The audit's numbers as lines for a report. The numbers are `mmc4viz.corpus.audit`'s."""

from __future__ import annotations

from mmc4viz.corpus import audit
from mmc4viz.corpus.pairs import Pairs, image_counts
from mmc4viz.corpus.stored import stored
from mmc4viz.corpus.sweep import Matched
from mmc4viz.corpus.verdicts import Verdicts
from mmc4viz.loader.images import newer
from mmc4viz.model import ImageFate, LoaderConfig

Line = tuple[str, str, str]  # the number, what it counts, more about it


def findings(matched: Matched, config: LoaderConfig, found: Verdicts, pairs: Pairs) -> list[Line]:
    """Say in numbers what the loader does unseen under a setting.

    Parameters
    ----------
    matched : Matched
    config : LoaderConfig
    found : Verdicts
        Of the setting.
    pairs : Pairs
        All of the corpus.
    """
    unmatched = image_counts(matched, ImageFate.UNMATCHED)
    fit = audit.fit(pairs.score, config.threshold, matched.scale)
    lines = [
        (fit.scale.name, "scale of the matched scores", f"from {fit.low:.4g} to {fit.high:.4g}")
    ]
    if fit.problem is not None:
        lines.append(("!", "the threshold does not fit these scores", fit.problem))
    lines += _bound(found, config.single_image_keep)
    lines += _cut(audit.lost(matched, found, config, unmatched))
    crowded = audit.crowded(pairs, found, config.max_images)
    lines += _capped(audit.capped(crowded, found, config), config)
    lines += _decoded(audit.undecodable(matched, config))
    if config.min_kb >= 0:
        band = audit.band(matched, config)
        words = f"images of {max(band.low, 0):,} to {band.high:,} bytes"
        lines.append((f"{band.images:,}", words, f"dropped by a limit called {config.min_kb} kB"))
    seen = stored(matched)
    if seen.compared:
        words = "stored scores equal the matrix's"
        lines.append((_share(seen.equal, seen.compared), words, f"{seen.compared:,} compared"))
    return lines


def _share(count: float, whole: float) -> str:
    return f"{count / whole:.1%}" if whole else "–"


def _bound(found: Verdicts, keep: float) -> list[Line]:
    seen = audit.misbound(found, keep)
    return [
        (
            _share(seen.wrong_sequences, seen.sequences),
            "of the sequences that reach the model have a misbound image token",
            f"{seen.wrong_sequences:,.10g} of {seen.sequences:,.10g}, in expectation",
        ),
        (
            _share(seen.wrong_tokens, seen.tokens),
            "of their image tokens get another sentence's image",
            f"{seen.wrong_tokens:,.10g} of {seen.tokens:,.10g}",
        ),
    ]


def _cut(seen: audit.Lost) -> list[Line]:
    return [
        (
            f"{seen.truncated:,}",
            "image tokens behind the token limit",
            f"{_share(seen.truncated, seen.written)} of those written",
        ),
        (
            f"{seen.surplus:,}",
            "valid images without a sentence",
            f"in {seen.surplus_documents:,} documents",
        ),
    ]


def _capped(seen: audit.Capped, config: LoaderConfig) -> list[Line]:
    cap = config.max_images
    return [
        (f"{seen.over_cap:,}", "pairs reach the threshold behind the image cap", ""),
        (
            f"{seen.outscoring:,}",
            "of them score higher than a pair that is kept",
            f"the best {cap} instead of the first {cap} would exchange {seen.displaced:,}",
        ),
    ]


def _decoded(seen: audit.Undecodable) -> list[Line]:
    return [
        (
            f"{int(seen.documents.sum()):,}",
            "documents lost because an image does not decode",
            f"{int(seen.single.sum()):,} of them by exactly one image; {seen.sound:,} sound images "
            "go with them",
        ),
        *(
            (f"{n:,}", f"images are of the format {kind}", newer(kind))
            for kind, n in seen.newer.items()
        ),
    ]
