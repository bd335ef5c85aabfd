"""The report that the page Export offers, made when it is asked for. Its numbers are the core's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.comparing.evidence import Evidence, evidence
from mmc4viz.handover.gather import gather
from mmc4viz.handover.labels_section import TITLE, labels_section, without_labels
from mmc4viz.handover.models_section import models_section
from mmc4viz.handover.report import write_report
from mmc4viz.handover.section import Section, Words
from mmc4viz.model import Mmc4vizError
from mmc4viz.ui import compared, data, label_file
from mmc4viz.ui.sidebar import Choice


def written(choice: Choice, found: Mapping[str, Any], *, images: bool, models: bool) -> str:
    """Write the report.

    Parameters
    ----------
    choice : Choice
        Of every document, not of a sample.
    found : mapping
        Where the setting comes from, as the config has it.
    images : bool
        Whether examples have pictures.
    models : bool
        Whether other CLIP models stand beside the deciding one.
    """

    def folder(part: int) -> str | None:
        return data.shard_at(choice.source, part)[1]

    source, config = choice.source, choice.config
    beside = _models(choice) if models else None
    labels = _labels(choice)
    content = gather(
        data.matched_of(source, config),
        config,
        found,
        folder,
        images=images,
        curves=data.curves_of(source, config),
        sections=[labels] if beside is None else [beside, labels],
    )
    return write_report(content)


def others(choice: Choice) -> list[str]:
    """Return the names of the CLIP models besides the deciding one."""
    return [name for name in choice.models if name != choice.config.clip_model]


def _labels(choice: Choice) -> Section:
    """Say what labels say; of a file that cannot be read, why not."""
    path = label_file.path_of(choice)
    try:
        if label_file.design_of(path, choice) is None:
            return without_labels()
        return labels_section(path, choice.config, label_file.population_for(choice))
    except Mmc4vizError as error:
        return Section(TITLE, [Words(str(error))])


def _models(choice: Choice) -> Section | None:
    """Put the other models beside the deciding one; those that cannot be read are named."""
    first = compared.side(choice.config.clip_model, choice.source, choice.config)
    sides, problems = {first.name: first}, []
    for name in others(choice):
        side = compared.side(name, choice.models[name], choice.config)
        try:
            compared.candidate(side)
            sides[name] = side
        except Mmc4vizError as error:
            problems.append(f"{name}: {error}")
    candidates = [compared.candidate(side) for side in sides.values()]
    known = _evidence(choice, candidates)
    threshold = choice.config.threshold
    return models_section(candidates[0], candidates[1:], threshold, known, problems)


def _evidence(choice: Choice, candidates: list[Candidate]) -> Evidence | None:
    """Return what labels say of the models, None without labels; of a bad file they are told."""
    path = label_file.path_of(choice)
    try:
        if label_file.design_of(path, choice) is None:
            return None
        return evidence(path, candidates)
    except Mmc4vizError:
        return None  # the section on labels says why
