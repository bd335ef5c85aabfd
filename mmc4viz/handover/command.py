"""The command that rewrites a corpus's shards for a setting, ready to paste. Runs nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from mmc4viz.handover.options import Options


def apply_command(
    config: str,
    out: str,
    options: Options,
    *,
    shards: Sequence[str] = (),
    index: str | None = None,
    similarity: str | None = None,
) -> str:
    """Return the words of ``mmc4viz apply``, quoted for a shell.

    Parameters
    ----------
    config : str
        The file of the setting.
    out : str
        The folder of the rewritten shards.
    options : Options
        Those that are their defaults are left out.
    shards : sequence of str
        Paths or patterns.
    index : str, optional
        In place of shards.
    similarity : str, optional
        The index's similarity set that decides.

    Examples
    --------
    >>> apply_command("c.yaml", "my shards", Options("sentence"), shards=["a/*.tar"])
    "mmc4viz apply 'a/*.tar' --config c.yaml --out 'my shards' --order sentence"
    >>> apply_command("c.yaml", "b", Options(cap="best"), index="ix", similarity="far")
    'mmc4viz apply --index ix --similarity far --config c.yaml --out b --cap best'
    """
    words = ["mmc4viz", "apply", *shards]
    words += [] if index is None else ["--index", index]
    words += [] if similarity is None else ["--similarity", similarity]
    words += ["--config", config, "--out", out]
    own = Options()
    words += [] if options.order == own.order else ["--order", options.order]
    words += [] if options.cap == own.cap else ["--cap", options.cap]
    words += ["--drop-undecodable"] if options.drop_undecodable else []
    words += [] if options.keep_rejected_images else ["--keep-rejected-images", "no"]
    return shlex.join(words)
