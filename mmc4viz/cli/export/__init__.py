"""The commands ``export`` (settings, lists and report; or documents for a trainer) and ``verify``.

Each part is imported when it runs, since a trainer needs little of what a report needs.
"""

from __future__ import annotations

from typing import Any


def export(**options: Any) -> None:
    """Export settings, manifest, ids and report, or to a trainer."""
    if options["trainer"] in (None, "webdataset"):
        from mmc4viz.cli.export import settings

        settings.export(**options)
    else:
        from mmc4viz.cli.export import trainers

        trainers.export_for(options)


def verify(**options: Any) -> None:
    """Recompute what a config records."""
    from mmc4viz.cli.export import settings

    settings.verify(**options)
