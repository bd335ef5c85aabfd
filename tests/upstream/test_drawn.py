"""How often the original drew each outcome agrees with the probabilities that the walk gives."""

from __future__ import annotations

import pytest
from scipy.stats import chi2

from mmc4viz.loader.parse import parse_document
from mmc4viz.loader.profile import PROFILES
from tests.upstream import drawn, loaders

PAGES = dict(drawn.pages())


@pytest.mark.parametrize("key", PAGES)
def test_outcomes_are_drawn_as_often_as_expected(key: str) -> None:
    profile = PROFILES["mm-interleaved"]
    config = loaders.config_of(profile, drawn.SETTINGS)
    chances = drawn.chances(parse_document(key, PAGES[key]), config, profile)
    assert sum(chances.values()) == pytest.approx(1)
    counts = drawn.recorded(profile.name)[key]
    assert counts.keys() <= chances.keys(), "the original drew what the walk holds impossible"
    n = sum(counts.values())
    assert n == drawn.COPIES
    assert len(chances) > 4
    statistic = sum((counts.get(one, 0) - n * p) ** 2 / (n * p) for one, p in chances.items())
    # Recorded once: a fault of a tenth in one probability is far beyond this quantile.
    assert chi2.sf(statistic, len(chances) - 1) > 1e-4
