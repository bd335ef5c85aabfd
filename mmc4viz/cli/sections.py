"""What the command ``export`` puts into its report about labels and about other CLIP models.

Opens what the person named; numbers and words are the core's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.comparing.evidence import evidence
from mmc4viz.choice.labelling import store
from mmc4viz.choice.labelling.population import Population
from mmc4viz.choice.lineup import Model
from mmc4viz.cli.lines import say
from mmc4viz.cli.models import Similarity, chosen, similarities_of
from mmc4viz.cli.shared import F, progress
from mmc4viz.corpus.source import Indexed, Shards
from mmc4viz.corpus.sweep import Matched, match_corpus
from mmc4viz.handover.labels_section import labels_section, without_labels
from mmc4viz.handover.models_section import models_section
from mmc4viz.handover.section import Section
from mmc4viz.model import ConfigError, LoaderConfig, Mmc4vizError

_OPTIONS = (
    click.option(
        "--similarity", "similarity", metavar="NAME", multiple=True,
        help="Of the index's similarity sets, the one that decides; or NAME=FILE, a model's "
        "similarity of the SHARDs for the report, repeatable.",
    ),
    click.option(
        "--labels", "labels_file", metavar="FILE",
        help="A file of labels for the report: precision with intervals, agreement.",
    ),
    click.option(
        "--models", multiple=True, metavar="A B ...",
        help="Models that the report puts beside the deciding one; own is the shards'. [all]",
    ),
)  # fmt: skip


def with_sections(command: F) -> F:
    """Give a command the options that say what its report is to hold."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settle(options: dict[str, Any]) -> dict[str, Any]:
    """Tell the set that decides from files to compare; refuse what only a report has room for."""
    given: tuple[str, ...] = options["similarity"]
    files = [text for text in given if "=" in text]
    sets = [text for text in given if "=" not in text]
    if len(sets) > 1:
        raise ConfigError(f"one similarity decides, not {len(sets)}: {', '.join(sets)}")
    if not options["report_file"]:
        for name, value in (
            ("--labels", options["labels_file"]),
            ("--models", options["models"]),
            ("--similarity NAME=FILE", files),
        ):
            if value:
                raise ConfigError(f"{name} is for the report: name --report FILE, too")
    return options | {"similarity": sets[0] if sets else None, "files": files}


def check(corpus: Indexed | Shards, config: LoaderConfig, options: dict[str, Any]) -> None:
    """Refuse labels and models that are not there before anything is read."""
    if options["labels_file"] is not None:
        store.check(options["labels_file"])
    chosen(similarities_of(corpus, config, options["files"]), options["models"])


def sections(
    corpus: Indexed | Shards, config: LoaderConfig, matched: Matched, options: dict[str, Any]
) -> list[Section]:
    """Return the report's sections on other models and on labels.

    Raises
    ------
    Mmc4vizError
        For a file of labels that cannot be used. A model that cannot be compared is said in its
        section, and noted.
    """
    first, path = Candidate(Model(config.clip_model, matched), config), options["labels_file"]
    labels = without_labels()
    if path is not None:
        columns = [part.columns for part in matched.parts]
        labels = labels_section(path, config, Population(columns, first.model.pairs))
    others, problems = _matched(_others(corpus, config, matched, options), first)
    beside: Section | None = None
    if others or problems:
        known = None if path is None else evidence(path, [first, *others])
        beside = models_section(first, others, config.threshold, known, problems)
    return [labels] if beside is None else [beside, labels]


def _others(
    corpus: Indexed | Shards, config: LoaderConfig, matched: Matched, options: dict[str, Any]
) -> list[tuple[str, Similarity]]:
    """Return the other models that are asked for, each by the name that its labels go by."""
    read = None if isinstance(corpus, Indexed) else [part.columns for part in matched.parts]
    found = similarities_of(corpus, config, options["files"], read)
    wanted = chosen(found, options["models"])
    return [(one.name, one) for one in wanted if one.name != config.clip_model]


def _matched(
    found: Sequence[tuple[str, Similarity]], first: Candidate
) -> tuple[list[Candidate], list[str]]:
    """Match the other models; say which cannot be."""
    others, problems = [], []
    with progress("documents") as advance:
        for name, one in found:
            try:
                matched = match_corpus(one.read(advance), first.config)
            except Mmc4vizError as error:
                problems.append(f"{name}: {error}")
                say(f"the report leaves out {name}: {error}")
                continue
            others.append(Candidate(Model(name, matched), first.config))
    return others, problems
