"""The command ``verify``: recomputes what a config records."""

from __future__ import annotations

import sys
from typing import Any

import click
import numpy as np

from mmc4viz.cli.common import config_file_of, finish, open_corpus, progress
from mmc4viz.cli.messages import print_error
from mmc4viz.export.verify import Verified, verified
from mmc4viz.sweep.sweep import match_corpus, sweep
from mmc4viz.text import table
from mmc4viz.types import ConfigError


def verify(config_file: str, **options: Any) -> None:
    """Recompute the yields of a config on a corpus, and compare."""
    options |= {"config_file": config_file}
    yields = config_file_of(options).provenance.get("yields")
    if not yields:
        raise ConfigError(
            f"{config_file}: records no yields, so there is nothing to verify; mmc4viz export "
            "--out writes a config that does"
        )
    config, corpus = open_corpus(options)
    with progress("documents") as advance:
        matched = match_corpus(corpus.columns(advance), config)
    curves = sweep(matched, config, np.array([config.threshold]))
    found = verified(yields, curves, 0, config.single_image_keep)
    click.echo(table([("", "recorded", "now", ""), *map(_row, found)]))
    wrong = [one.name.replace("_", " ") for one in found if not one.agrees]
    if wrong:
        print_error(f"{config_file}: not the same on this corpus: {', '.join(wrong)}")
    finish(corpus)
    if wrong:
        sys.exit(1)


def _row(one: Verified) -> tuple[str, ...]:
    recorded = f"{one.recorded:,.12g}"
    if one.low is not None or one.high is not None:
        low, high = ("?" if end is None else f"{end:,.6g}" for end in (one.low, one.high))
        recorded += f" (95% CI {low} to {high})"
    said = "same" if one.recorded == one.now else "within the CI" if one.agrees else "differs"
    return one.name.replace("_", " "), recorded, f"{one.now:,.12g}", said
