"""How fast scoring is, and how long it still takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mmc4viz.cli.messages import print_note

if TYPE_CHECKING:
    from mmc4viz.clip.score import Advance

_EVERY: Final = 60.0  # seconds between lines if standard error is not a terminal


class Pace:
    """Counts what is scored.

    Parameters
    ----------
    n_bytes : int
        Of all shards.
    clock : callable, optional
        Returns seconds.
    """

    def __init__(self, n_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self._left = n_bytes
        self._scored_bytes = 0
        self.images = self.sentences = 0

    def add(self, step: Advance) -> None:
        """Count a step; what was scored before does not count for the speed."""
        self.images += step.images
        self.sentences += step.sentences
        self._left = max(0, self._left - step.n_bytes - step.skipped)
        self._scored_bytes += step.n_bytes

    @property
    def seconds(self) -> float:
        """Since the start."""
        return max(self._clock() - self._start, 1e-9)

    def line(self) -> str:
        """Say what is scored, how fast, and how long the rest takes.

        Examples
        --------
        >>> from mmc4viz.clip.score import Advance
        >>> seconds = iter([0.0, 60.0, 60.0])
        >>> pace = Pace(5_000_000, lambda: next(seconds))
        >>> pace.add(Advance(documents=200, images=900, sentences=4000, n_bytes=1_000_000))
        >>> pace.line()
        '900 images and 4,000 sentences scored, 15 images/s, 4 min left'
        """
        speed = f"{self.counts()}, {self._per_second()}"
        if not self._scored_bytes:
            return speed
        left = self._left / self._scored_bytes * self.seconds
        return f"{speed}, {duration(left)} left"

    def total(self) -> str:
        """Say what was scored, in which time."""
        return f"{self.counts()} in {duration(self.seconds)}, {self._per_second()}"

    def counts(self) -> str:
        """Say what is scored."""
        images = "image" if self.images == 1 else "images"
        sentences = "sentence" if self.sentences == 1 else "sentences"
        return f"{self.images:,} {images} and {self.sentences:,} {sentences} scored"

    def _per_second(self) -> str:
        rate = self.images / self.seconds
        return f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.1f} images/s"


def duration(seconds: float) -> str:
    """Say how long something takes.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.4, 75, 3 * 3600 + 1500)]
    ['1 s', '1 min 15 s', '3 h 25 min']
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


@contextmanager
def pace(n_bytes: int) -> Iterator[Callable[[Advance], object]]:
    """Show the pace on standard error: in a bar on a terminal, else a line every minute.

    The last line says what the whole took.
    """
    counted = Pace(n_bytes)
    if sys.stderr.isatty():
        from tqdm import tqdm  # imported late to start faster

        form = "{percentage:3.0f}%|{bar}| {desc}"
        with tqdm(total=n_bytes, bar_format=form, delay=1, file=sys.stderr) as bar:

            def show(step: Advance) -> None:
                counted.add(step)
                bar.set_description_str(counted.line(), refresh=False)
                bar.update(step.n_bytes + step.skipped)

            yield show
    else:
        told = 0.0

        def tell(step: Advance) -> None:
            nonlocal told
            counted.add(step)
            if counted.seconds - told > _EVERY:
                told = counted.seconds
                print_note(counted.line())

        yield tell
    if counted.sentences and (sys.stderr.isatty() or counted.seconds > _EVERY):
        print_note(counted.total())
