"""What an export to a trainer wrote, in counts and words for people."""

from __future__ import annotations

from collections.abc import Sequence

from mmc4viz.export.trainers.run import Exported
from mmc4viz.types import LoaderConfig


def total_counts(done: Sequence[Exported]) -> dict[str, int]:
    """Return the sums of all counts."""
    found = {"documents": 0, "single": 0, "images": 0, "chatgpt": 0}
    for one in done:
        for name in found:
            found[name] += one.counts.get(name, 0)
    return found


def count_lines(done: Sequence[Exported]) -> list[tuple[str, str]]:
    """Return the counts of a run with their titles.

    Examples
    --------
    >>> count_lines([Exported("a.tar", "written", None, {"documents": 2, "images": 3})])
    [('documents', '2'), ('images', '3')]
    """
    counts = total_counts(done)
    lines = [("documents", f"{counts['documents']:,}"), ("images", f"{counts['images']:,}")]
    if counts["single"]:
        lines.append(("documents with one image", f"{counts['single']:,}"))
    if counts["chatgpt"]:
        lines.append(("ChatGPT-generated (not exported)", f"{counts['chatgpt']:,}"))
    return lines


def result_notes(done: Sequence[Exported], config: LoaderConfig) -> list[str]:
    """Return what to know about the documents that were written."""
    counts, notes = total_counts(done), []
    if counts["single"]:
        notes.append(
            f"documents with one image, which the settings keep with probability "
            f"{config.single_image_keep:g}: {counts['single']:,}; all are written, with that "
            "probability"
        )
    if not counts["documents"]:
        notes.append(
            f"no document is kept at {config.threshold:g}; run mmc4viz curve to see other "
            "thresholds"
        )
    return notes


def error_messages(done: Sequence[Exported]) -> list[str]:
    """Return problems, one line each."""
    return [one.reason for one in done if one.reason is not None]
