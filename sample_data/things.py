"""How each kind of thing is drawn: a few filled shapes in its own coordinates.

Nothing here knows of backgrounds, light or where a thing stands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

RGB = tuple[int, int, int]


def shade(colour: RGB, factor: float) -> RGB:
    """Return `colour` darkened (factor below 1) or lightened towards white (above 1)."""
    if factor <= 1:
        return tuple(round(c * factor) for c in colour)  # type: ignore[return-value]
    return tuple(round(255 - (255 - c) * (2 - factor)) for c in colour)  # type: ignore[return-value]


class Pen:
    """Draws in the coordinates of one object: -1 to 1, y downwards, standing on y = 1."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, y: float, r: float, flip: bool) -> None:
        self._draw, self._x, self._y, self._r = draw, x, y, r
        self._sign = -1 if flip else 1

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return self._x + self._sign * x * self._r, self._y + y * self._r

    def poly(self, fill: RGB, *points: tuple[float, float]) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(*p) for p in points], fill=fill)

    def box(self, fill: RGB, x0: float, y0: float, x1: float, y1: float) -> None:
        """Fill an upright rectangle."""
        self.poly(fill, (x0, y0), (x1, y0), (x1, y1), (x0, y1))

    def disc(self, fill: RGB, x: float, y: float, rx: float, ry: float | None = None) -> None:
        """Fill an ellipse."""
        (cx, cy), w, h = self._at(x, y), rx * self._r, (rx if ry is None else ry) * self._r
        self._draw.ellipse((cx - w, cy - h, cx + w, cy + h), fill=fill)

    def ring(self, fill: RGB, x: float, y: float, r: float, width: float) -> None:
        """Stroke a circle."""
        (cx, cy), s, w = self._at(x, y), r * self._r, max(1, round(width * self._r))
        self._draw.ellipse((cx - s, cy - s, cx + s, cy + s), outline=fill, width=w)

    def line(self, fill: RGB, width: float, *points: tuple[float, float]) -> None:
        """Stroke a line."""
        self._draw.line(
            [self._at(*p) for p in points],
            fill=fill,
            width=max(1, round(width * self._r)),
            joint="curve",
        )


DARK: RGB = (48, 42, 40)
GLASS: RGB = (172, 206, 222)
WOOD: RGB = (112, 78, 50)


def _boat(p: Pen, c: RGB) -> None:
    p.line(WOOD, 0.06, (0.0, 0.5), (0.0, -1.0))
    p.poly((244, 240, 228), (0.06, -0.95), (0.06, 0.38), (0.75, 0.38))
    p.poly((226, 220, 205), (-0.06, -0.7), (-0.06, 0.38), (-0.55, 0.38))
    p.poly(c, (-1.0, 0.45), (1.0, 0.45), (0.7, 0.95), (-0.7, 0.95))
    p.poly(shade(c, 0.6), (-0.8, 0.78), (0.8, 0.78), (0.7, 0.95), (-0.7, 0.95))


def _duck(p: Pen, c: RGB) -> None:
    p.disc(c, -0.1, 0.55, 0.75, 0.4)
    p.poly(c, (-0.95, 0.2), (-0.5, 0.4), (-0.6, 0.7))
    p.disc(shade(c, 0.8), -0.15, 0.52, 0.42, 0.2)
    p.disc(c, 0.55, -0.02, 0.32)
    p.poly(c, (0.3, 0.1), (0.75, 0.1), (0.5, 0.6), (0.2, 0.6))
    p.poly((236, 150, 30), (0.82, -0.1), (1.15, 0.03), (0.82, 0.12))
    p.disc(DARK, 0.64, -0.08, 0.06)


def _lighthouse(p: Pen, c: RGB) -> None:
    p.poly((240, 238, 230), (-0.22, -0.6), (0.22, -0.6), (0.36, 1.0), (-0.36, 1.0))
    for top in (-0.45, 0.1, 0.62):
        p.box(c, -0.25 - 0.07 * (top + 0.5), top, 0.25 + 0.07 * (top + 0.5), top + 0.26)
    p.box(DARK, -0.3, -0.66, 0.3, -0.58)
    p.box((250, 236, 150), -0.16, -0.86, 0.16, -0.66)
    p.poly(shade(c, 0.7), (-0.24, -0.86), (0.24, -0.86), (0.0, -1.1))


def _house(p: Pen, c: RGB) -> None:
    p.box(c, -0.8, -0.1, 0.8, 1.0)
    p.box(shade(c, 0.85), 0.35, -0.1, 0.8, 1.0)
    p.box((120, 70, 58), 0.35, -0.85, 0.55, -0.3)
    p.poly((132, 66, 52), (-1.0, -0.08), (1.0, -0.08), (0.0, -0.95))
    p.box(WOOD, -0.14, 0.42, 0.16, 1.0)
    for x in (-0.6, 0.36):
        p.box((245, 243, 236), x - 0.04, 0.16, x + 0.32, 0.54)
        p.box(GLASS, x, 0.2, x + 0.28, 0.5)


def _windmill(p: Pen, c: RGB) -> None:
    p.poly(c, (-0.3, -0.35), (0.3, -0.35), (0.48, 1.0), (-0.48, 1.0))
    p.poly(shade(c, 0.6), (-0.36, -0.35), (0.36, -0.35), (0.0, -0.75))
    p.box(WOOD, -0.11, 0.6, 0.11, 1.0)
    p.box(DARK, -0.1, -0.05, 0.1, 0.15)
    for dx, dy in ((0.75, 0.6), (-0.6, 0.75), (-0.75, -0.6), (0.6, -0.75)):
        p.line(WOOD, 0.05, (0.0, -0.4), (dx, dy - 0.4))
        p.poly(
            (226, 214, 190),
            (dx * 0.25, dy * 0.25 - 0.4),
            (dx, dy - 0.4),
            (dx - dy * 0.26, dy + dx * 0.26 - 0.4),
            (dx * 0.25 - dy * 0.26, dy * 0.25 + dx * 0.26 - 0.4),
        )


def _tent(p: Pen, c: RGB) -> None:
    p.poly(c, (-1.0, 1.0), (-0.1, -0.3), (0.5, 1.0))
    p.poly(shade(c, 0.72), (-0.1, -0.3), (0.6, -0.15), (1.05, 0.9), (0.5, 1.0))
    p.poly(DARK, (-0.5, 1.0), (-0.14, 0.15), (0.12, 1.0))
    p.line((210, 200, 180), 0.03, (-0.1, -0.3), (-1.15, 0.85))


def _balloon(p: Pen, c: RGB) -> None:
    p.disc(c, 0, -0.3, 0.72, 0.74)
    p.disc(shade(c, 1.5), 0, -0.3, 0.42, 0.74)
    p.disc(c, 0, -0.3, 0.16, 0.74)
    p.poly(c, (-0.56, 0.12), (0.56, 0.12), (0.16, 0.6), (-0.16, 0.6))
    p.line(DARK, 0.03, (-0.16, 0.55), (-0.14, 0.8))
    p.line(DARK, 0.03, (0.16, 0.55), (0.14, 0.8))
    p.box(WOOD, -0.18, 0.76, 0.18, 1.0)


def _tree(p: Pen, c: RGB) -> None:
    p.poly((92, 64, 44), (-0.1, -0.1), (0.1, -0.1), (0.17, 1.0), (-0.17, 1.0))
    for x, y, r, f in (
        (-0.42, -0.1, 0.42, 0.75),
        (0.42, -0.08, 0.42, 0.7),
        (0.0, -0.02, 0.42, 0.8),
        (-0.22, -0.5, 0.42, 0.95),
        (0.25, -0.5, 0.4, 1.0),
        (0.0, -0.75, 0.34, 1.15),
    ):
        p.disc(shade(c, f), x, y, r)


def _flower(p: Pen, c: RGB) -> None:
    p.line((60, 120, 52), 0.08, (0.0, -0.3), (0.06, 1.0))
    p.poly((70, 136, 60), (0.05, 0.75), (0.55, 0.2), (0.4, 0.65))
    p.poly((62, 122, 54), (0.05, 0.9), (-0.5, 0.35), (-0.38, 0.8))
    for k in range(8):
        a = k * np.pi / 4
        f = 1.0 if k % 2 else 0.86
        p.disc(shade(c, f), 0.36 * float(np.cos(a)), -0.42 + 0.36 * float(np.sin(a)), 0.24)
    p.disc((206, 150, 30), 0.0, -0.42, 0.2)


def _mushroom(p: Pen, c: RGB) -> None:
    p.poly((236, 226, 204), (-0.2, 0.0), (0.2, 0.0), (0.28, 1.0), (-0.28, 1.0))
    p.disc(shade(c, 0.6), 0.0, 0.06, 0.86, 0.2)
    p.poly(c, (-0.88, 0.06), (-0.7, -0.4), (-0.3, -0.68), (0.3, -0.68), (0.7, -0.4), (0.88, 0.06))
    p.disc(c, 0.0, -0.42, 0.5, 0.32)
    for x, y in ((-0.45, -0.2), (0.05, -0.45), (0.48, -0.15), (0.0, -0.08), (-0.3, -0.5)):
        p.disc(shade(c, 1.75), x, y, 0.1, 0.08)


def _wheels(p: Pen, r: float, *xs: float) -> None:
    for x in xs:
        p.disc((30, 30, 32), x, 1.0 - r, r)
        p.disc((170, 172, 176), x, 1.0 - r, r * 0.5)


def _car(p: Pen, c: RGB) -> None:
    p.poly(c, (-0.6, 0.35), (-0.38, -0.05), (0.28, -0.05), (0.58, 0.35))
    p.poly(GLASS, (-0.5, 0.32), (-0.33, 0.03), (-0.06, 0.03), (-0.06, 0.32))
    p.poly(GLASS, (0.02, 0.32), (0.02, 0.03), (0.24, 0.03), (0.47, 0.32))
    p.poly(c, (-1.05, 0.42), (-0.95, 0.32), (0.9, 0.34), (1.08, 0.5), (1.08, 0.82), (-1.05, 0.82))
    p.box(shade(c, 0.65), -1.05, 0.7, 1.08, 0.82)
    p.box((250, 238, 170), 0.96, 0.46, 1.07, 0.58)
    _wheels(p, 0.25, -0.6, 0.62)


def _bus(p: Pen, c: RGB) -> None:
    p.box(c, -1.15, -0.35, 1.15, 0.82)
    p.box(shade(c, 1.6), -1.15, -0.35, 1.15, -0.24)
    p.box(shade(c, 0.7), -1.15, 0.6, 1.15, 0.82)
    for x in (-1.05, -0.65, -0.25, 0.15):
        p.box(GLASS, x, -0.12, x + 0.34, 0.28)
    p.box(GLASS, 0.58, -0.12, 1.15, 0.34)
    _wheels(p, 0.24, -0.66, 0.68)


def _bicycle(p: Pen, c: RGB) -> None:
    for x in (-0.62, 0.62):
        p.ring((34, 34, 36), x, 0.55, 0.45, 0.07)
        for a in (0.3, 1.35, 2.4):
            dx, dy = 0.42 * float(np.cos(a)), 0.42 * float(np.sin(a))
            p.line((160, 160, 164), 0.015, (x - dx, 0.55 - dy), (x + dx, 0.55 + dy))
    p.line(c, 0.1, (-0.62, 0.55), (-0.25, -0.1), (0.4, -0.1), (0.0, 0.55), (-0.62, 0.55))
    p.line(c, 0.1, (0.62, 0.55), (0.36, -0.35))
    p.line(c, 0.1, (-0.25, -0.1), (0.0, 0.55))
    p.line(DARK, 0.1, (0.2, -0.42), (0.5, -0.3))
    p.line(DARK, 0.13, (-0.42, -0.25), (-0.12, -0.25))


def _four_legs(p: Pen, c: RGB, top: float, width: float, *xs: float) -> None:
    for k, x in enumerate(xs):
        p.box(shade(c, 0.75 if k % 2 else 0.95), x - width, top, x + width, 1.0)


def _dog(p: Pen, c: RGB) -> None:
    _four_legs(p, c, 0.4, 0.09, -0.6, -0.4, 0.28, 0.46)
    p.disc(c, -0.05, 0.32, 0.7, 0.3)
    p.line(c, 0.13, (-0.68, 0.2), (-1.0, -0.25))
    p.disc(c, 0.68, -0.12, 0.32, 0.3)
    p.disc(c, 0.98, 0.0, 0.22, 0.14)
    p.disc(shade(c, 0.6), 0.5, -0.05, 0.13, 0.3)
    p.disc(DARK, 1.16, -0.05, 0.06)
    p.disc(DARK, 0.78, -0.2, 0.05)


def _cat(p: Pen, c: RGB) -> None:
    p.line(c, 0.13, (-0.4, 0.85), (-0.85, 0.8), (-0.95, 0.2), (-0.8, -0.05))
    p.disc(c, 0.0, 0.52, 0.46, 0.5)
    p.disc(shade(c, 1.25), 0.08, 0.6, 0.22, 0.36)
    p.poly(c, (-0.3, -0.4), (-0.28, -0.9), (0.02, -0.55))
    p.poly(c, (0.1, -0.55), (0.38, -0.9), (0.42, -0.4))
    p.disc(c, 0.06, -0.28, 0.42, 0.36)
    for x in (-0.1, 0.24):
        p.disc((214, 200, 60), x, -0.33, 0.08, 0.09)
        p.disc(DARK, x, -0.33, 0.03, 0.08)
    p.poly((222, 130, 130), (0.0, -0.18), (0.14, -0.18), (0.07, -0.1))


def _horse(p: Pen, c: RGB) -> None:
    mane = shade(c, 0.45) if sum(c) > 150 else (90, 84, 80)
    _four_legs(p, c, 0.3, 0.075, -0.58, -0.4, 0.3, 0.46)
    p.line(mane, 0.15, (-0.68, 0.05), (-0.9, 0.55))
    p.disc(c, -0.06, 0.15, 0.68, 0.32)
    p.poly(c, (0.25, 0.1), (0.62, 0.3), (0.9, -0.45), (0.6, -0.75))
    p.line(mane, 0.14, (0.3, 0.0), (0.6, -0.75))
    p.poly(c, (0.58, -0.85), (0.85, -0.75), (1.18, -0.35), (1.05, -0.22), (0.62, -0.5))
    p.poly(c, (0.62, -0.75), (0.66, -1.02), (0.76, -0.78))
    p.disc(DARK, 0.82, -0.62, 0.05)


def _apple(p: Pen, c: RGB) -> None:
    p.disc(c, -0.28, 0.3, 0.55, 0.68)
    p.disc(c, 0.28, 0.3, 0.55, 0.68)
    p.disc(shade(c, 1.55), -0.4, 0.05, 0.14, 0.2)
    p.line(WOOD, 0.09, (0.0, -0.25), (0.08, -0.68))
    p.poly((74, 150, 60), (0.08, -0.45), (0.35, -0.75), (0.62, -0.6), (0.35, -0.42))


def _pear(p: Pen, c: RGB) -> None:
    p.disc(c, 0.0, 0.45, 0.6, 0.55)
    p.poly(c, (-0.55, 0.3), (-0.22, -0.5), (0.22, -0.5), (0.55, 0.3))
    p.disc(c, 0.0, -0.42, 0.26, 0.3)
    p.disc(shade(c, 1.5), -0.25, 0.35, 0.12, 0.2)
    p.line(WOOD, 0.08, (0.0, -0.66), (0.12, -0.98))


def _cake(p: Pen, c: RGB) -> None:
    p.disc((232, 232, 236), 0.0, 0.88, 1.05, 0.16)
    p.box((196, 150, 96), -0.75, 0.25, 0.75, 0.82)
    p.disc((196, 150, 96), 0.0, 0.82, 0.75, 0.13)
    p.box(shade(c, 0.9), -0.75, 0.48, 0.75, 0.6)
    p.box(c, -0.75, 0.1, 0.75, 0.3)
    for x in (-0.6, -0.3, 0.0, 0.3, 0.6):
        p.disc(c, x, 0.32, 0.15, 0.14)
    p.disc(shade(c, 1.3), 0.0, 0.1, 0.75, 0.14)
    for x in (-0.4, 0.0, 0.4):
        p.box((214, 60, 70), x - 0.03, -0.3, x + 0.03, 0.08)
        p.disc((250, 200, 70), x, -0.4, 0.05, 0.1)


def _mug(p: Pen, c: RGB) -> None:
    p.ring(c, 0.62, 0.38, 0.34, 0.13)
    p.box(c, -0.6, -0.2, 0.6, 0.9)
    p.disc(c, 0.0, 0.9, 0.6, 0.12)
    p.box(shade(c, 1.4), -0.45, -0.1, -0.3, 0.85)
    p.disc(shade(c, 0.8), 0.0, -0.2, 0.6, 0.15)
    p.disc((72, 44, 28), 0.0, -0.18, 0.5, 0.1)


def _teapot(p: Pen, c: RGB) -> None:
    p.ring(shade(c, 0.85), -0.75, 0.35, 0.36, 0.11)
    p.poly(c, (0.45, 0.6), (0.9, -0.15), (1.15, -0.15), (0.65, 0.8))
    p.disc(c, 0.0, 0.42, 0.72, 0.58)
    p.disc(shade(c, 1.45), -0.28, 0.2, 0.14, 0.2)
    p.disc(shade(c, 0.8), 0.0, -0.1, 0.38, 0.1)
    p.disc(c, 0.0, -0.16, 0.32, 0.14)
    p.disc(shade(c, 0.7), 0.0, -0.34, 0.1)


def _fish(p: Pen, c: RGB) -> None:
    p.disc((240, 240, 242), 0.0, 0.55, 1.15, 0.45)
    p.disc((224, 226, 230), 0.0, 0.53, 0.95, 0.34)
    p.poly(c, (-0.45, 0.5), (-0.95, 0.22), (-0.95, 0.8))
    p.disc(c, 0.1, 0.5, 0.66, 0.25)
    p.poly(shade(c, 0.75), (-0.1, 0.3), (0.3, 0.08), (0.35, 0.32))
    p.disc(shade(c, 1.5), 0.1, 0.6, 0.4, 0.1)
    p.disc(DARK, 0.54, 0.44, 0.05)


def _chair(p: Pen, c: RGB) -> None:
    for x, y in ((-0.5, 1.0), (0.5, 1.0), (-0.3, 0.85), (0.3, 0.85)):
        p.box(shade(c, 0.7), x - 0.05, 0.25, x + 0.05, y)
    p.poly(c, (-0.55, 0.35), (0.55, 0.35), (0.4, 0.08), (-0.4, 0.08))
    p.box(shade(c, 0.9), -0.4, -1.0, -0.29, 0.15)
    p.box(shade(c, 0.9), 0.29, -1.0, 0.4, 0.15)
    for y in (-0.92, -0.58, -0.24):
        p.box(c, -0.4, y, 0.4, y + 0.18)


PAINTERS: dict[str, Callable[[Pen, RGB], None]] = {
    "boat": _boat,
    "duck": _duck,
    "lighthouse": _lighthouse,
    "house": _house,
    "windmill": _windmill,
    "tent": _tent,
    "balloon": _balloon,
    "tree": _tree,
    "flower": _flower,
    "mushroom": _mushroom,
    "car": _car,
    "bus": _bus,
    "bicycle": _bicycle,
    "dog": _dog,
    "cat": _cat,
    "horse": _horse,
    "apple": _apple,
    "pear": _pear,
    "cake": _cake,
    "mug": _mug,
    "teapot": _teapot,
    "fish": _fish,
    "chair": _chair,
}
