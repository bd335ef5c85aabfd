"""One model under a setting: what each of its thresholds leaves, computed when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from mmc4viz.choice.comparing.kept import Keeping
from mmc4viz.choice.lineup import Model
from mmc4viz.choice.steps import Steps, steps_of_scores
from mmc4viz.model import LoaderConfig


@dataclass(frozen=True)
class Candidate:
    """One model under a setting of the loader.

    Attributes
    ----------
    model : Model
    config : LoaderConfig
        The model was matched under its size limit and assignment; its threshold does not matter.
    """

    model: Model
    config: LoaderConfig

    @property
    def name(self) -> str:
        """The CLIP model's name."""
        return self.model.name

    @cached_property
    def steps(self) -> Steps:
        """What is left at every score."""
        return steps_of_scores(self.model.matched, self.config)

    @cached_property
    def keeping(self) -> Keeping:
        """Which documents survive."""
        return Keeping(self.model.matched, self.config)

    def prepare(self, tell: Callable[[int], object]) -> None:
        """Compute all that answers need; ``tell`` is called in between, and may end it."""
        for part in ("model.by_image", "steps", "keeping"):
            attrgetter(part)(self)
            tell(0)
