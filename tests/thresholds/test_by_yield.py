"""Thresholds by yield: exact at every grid step, also if yields are not monotone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from mmc4viz import ConfigError, LoaderConfig
from mmc4viz.data.scale import COSINE
from mmc4viz.sweep.sweep import sweep
from mmc4viz.thresholds.by_yield import (
    YIELDS,
    Steps,
    Target,
    by_yield,
    steps_of_curves,
    steps_of_scores,
)
from tests.support.corpora import SETTINGS, odd

CASES = (0, 1, 3)


@cache
def steps(case: int) -> Steps:
    corpus = odd(SETTINGS[case]).corpus
    return steps_of_scores(corpus.matched, corpus.config)


@cache
def on_grid(case: int) -> Steps:
    corpus = odd(SETTINGS[case]).corpus
    curves = sweep(corpus.matched, corpus.config, COSINE.thresholds())
    return steps_of_curves(curves, corpus.config.single_image_keep)


def kept_at(case: int, thresholds: list[float]) -> dict[str, np.ndarray]:
    """Return the yields from the sweep."""
    corpus = odd(SETTINGS[case]).corpus
    curves = sweep(corpus.matched, corpus.config, np.array(thresholds))
    return dict(steps_of_curves(curves, corpus.config.single_image_keep).kept)


@pytest.mark.parametrize("case", CASES)
def test_steps_are_the_sweep_at_every_score(case: int) -> None:
    found = steps(case)
    corpus = odd(SETTINGS[case]).corpus
    scores = corpus.matched.scores()
    assert found.threshold.tolist() == np.unique(scores[np.isfinite(scores)]).tolist()
    swept = kept_at(case, found.threshold.tolist())
    above = kept_at(case, [np.nextafter(found.threshold[-1], np.inf)])
    assert found.beyond is not None
    for name in YIELDS:
        assert found.kept[name].tolist() == swept[name].tolist()
        assert found.beyond[name] == above[name][0]


@pytest.mark.parametrize("case", CASES)
def test_no_higher_threshold_leaves_enough(case: int) -> None:
    found = on_grid(case)
    exact = steps(case)
    shares = ("1%", "20%", "50%", "77.7%", "100%")
    for target in [Target.parse(f"{name}={share}") for name in YIELDS for share in shares]:
        proposal, name, needed = by_yield(found, [target]), target.quantity, target.needed(found)
        enough = np.flatnonzero(found.kept[name] >= needed)
        if proposal.threshold is None:
            assert not len(enough)
            continue
        highest = int(enough[-1])
        assert proposal.threshold == COSINE.thresholds()[highest]
        at = np.searchsorted(exact.threshold, proposal.threshold)
        assert proposal.kept == {quantity: exact.kept[quantity][at] for quantity in YIELDS}


def test_some_yield_rises_with_the_threshold() -> None:
    """Otherwise the search for the highest threshold would not be tested."""
    assert any((np.diff(steps(case).kept["text_tokens"]) > 0).any() for case in CASES)


def test_several_wishes_are_all_granted_by_the_highest_that_grants_them() -> None:
    found = on_grid(0)
    targets = [
        Target.parse("documents=20%"),
        Target.parse("pairs=300"),
        Target.parse("text-tokens=40%"),
    ]
    proposal = by_yield(found, targets)
    alone = [by_yield(found, [target]).threshold for target in targets]
    assert proposal.threshold is not None
    assert all(proposal.threshold <= one for one in alone if one is not None)
    for target in targets:
        assert proposal.kept[target.quantity] >= target.needed(found)
    above = found.threshold[found.threshold > proposal.threshold]
    granted = np.ones(len(above), bool)
    for target in targets:
        granted &= found.kept[target.quantity][-len(above) :] >= target.needed(found)
    assert not granted.any()


def test_wishes_that_exclude_each_other() -> None:
    left = dict.fromkeys(YIELDS, np.array([10.0, 5.0])) | {"text_tokens": np.array([1.0, 2.0])}
    made_up = Steps(np.array([0.1, 0.2]), left, None, dict.fromkeys(YIELDS, 10.0), every=False)
    both = by_yield(made_up, [Target.parse("pairs=10"), Target.parse("text_tokens=2")])
    assert both.threshold is None
    assert both.reason == "each target can be reached, but no threshold meets all of them at once"


def test_steps_beside_the_grid_play_no_part() -> None:
    """The curves include the reference threshold, which is not a step of every grid."""
    corpus, more = odd(SETTINGS[0]).corpus, np.array([0.2005, 0.24, 0.29999])
    curves = sweep(corpus.matched, corpus.config, np.union1d(COSINE.thresholds(), more))
    found = steps_of_curves(curves, corpus.config.single_image_keep, COSINE.thresholds())
    for share in ("3%", "50%", "99%"):
        targets = [Target.parse(f"{name}={share}") for name in YIELDS]
        for target in targets:
            assert by_yield(found, [target]) == by_yield(on_grid(0), [target])


def test_too_much_and_too_little() -> None:
    corpus = odd(SETTINGS[0]).corpus
    grid = np.append(COSINE.thresholds(), np.inf)  # infinity drops all pairs
    found = steps_of_curves(sweep(corpus.matched, corpus.config, grid), 0.5)
    assert "(target 1,000,000,000)" in str(by_yield(found, [Target.parse("pairs=1e9")]).reason)
    assert found.beyond is not None
    assert found.beyond["documents"] > 0, "ChatGPT-written documents"
    assert "every threshold" in str(by_yield(found, [Target.parse("documents=0.1")]).reason)
    empty = sweep(type(odd({}).corpus.matched)([], LoaderConfig()), LoaderConfig(), np.array([0.2]))
    nothing = steps_of_curves(empty, 0.5)
    assert by_yield(nothing, [Target.parse("pairs=1")]).threshold is None


def test_nonsense_is_refused() -> None:
    amounts = "pairs= pairs=many pairs=0 pairs=-3 pairs=nan pairs=inf documents=1e999999999"
    for text in [*amounts.split(), "pairs", "documents=101%", "images=5", "=5", "%", ""]:
        with pytest.raises(ConfigError):
            Target.parse(text)
