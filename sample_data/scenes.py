"""Small drawn pictures: what a scene holds, and how it is painted.

A `Scene` says what a picture shows; `paint` draws it, by `things.py`, over textured backgrounds,
and `photo_bytes` turns it into a JPEG of a wanted size. Nothing here knows of sentences.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from things import PAINTERS, RGB, Pen

Pixels = NDArray[np.float64]
Rng = np.random.Generator

COLOURS: dict[str, RGB] = {
    "red": (200, 38, 40),
    "orange": (232, 124, 28),
    "yellow": (240, 205, 50),
    "green": (58, 142, 62),
    "blue": (42, 92, 190),
    "purple": (122, 60, 150),
    "pink": (236, 130, 168),
    "white": (238, 238, 234),
    "black": (38, 36, 40),
    "brown": (126, 80, 46),
}
_BRIGHT = ("red", "orange", "yellow", "green", "blue", "white")
_FUR = ("brown", "black", "white", "orange")
_LAND = ("meadow", "mountains", "forest", "snow")
_TABLE = ("table", "kitchen")

#: kind -> (colours it comes in, settings it is found in)
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "boat": (_BRIGHT, ("sea", "lake")),
    "duck": (("white", "yellow", "brown", "black"), ("lake", "meadow")),
    "lighthouse": (("red", "white", "blue"), ("beach", "sea")),
    "house": ((*_BRIGHT, "pink", "brown"), (*_LAND, "street")),
    "windmill": (("white", "brown", "red"), ("meadow", "snow", "lake")),
    "tent": ((*_BRIGHT, "purple"), (*_LAND, "beach")),
    "balloon": ((*_BRIGHT, "purple", "pink"), ("mountains", "meadow", "sea")),
    "tree": (("green", "orange", "yellow", "pink"), ("meadow", "mountains", "snow", "street")),
    "flower": (("red", "yellow", "pink", "purple", "white"), ("meadow", "table", "forest")),
    "mushroom": (("red", "brown", "white"), ("forest", "meadow")),
    "car": ((*_BRIGHT, "black"), ("street", "mountains", "beach", "snow")),
    "bus": (_BRIGHT, ("street", "mountains")),
    "bicycle": (("red", "blue", "green", "black", "yellow"), ("street", "meadow", "beach")),
    "dog": (_FUR, ("meadow", "beach", "snow", "street")),
    "cat": (_FUR, ("kitchen", "street", "meadow")),
    "horse": (("brown", "black", "white"), ("meadow", "mountains", "beach")),
    "apple": (("red", "green", "yellow"), _TABLE),
    "pear": (("green", "yellow"), _TABLE),
    "cake": (("pink", "white", "brown", "yellow"), _TABLE),
    "mug": ((*_BRIGHT, "black"), _TABLE),
    "teapot": (("red", "blue", "white", "green", "brown"), _TABLE),
    "fish": (("orange", "blue", "green", "pink"), _TABLE),
    "chair": (("red", "blue", "green", "white", "brown"), ("kitchen", "meadow", "beach")),
}
INDOORS = frozenset(_TABLE)
LIGHTS = ("day", "sunset", "night", "fog")
#: kinds that fill a picture less, more or higher up than the rest
_SIZE = {"duck": 0.75, "mushroom": 0.8, "lighthouse": 1.3, "windmill": 1.25, "tree": 1.25}
_LIFT = {"balloon": 0.34}


@dataclass(frozen=True)
class Scene:
    """What one picture shows.

    Attributes
    ----------
    kind, colour, setting, light
        One of `KINDS`, a colour and a setting of that kind, one of `LIGHTS`.
    count
        How many of the kind are shown, 1 to 3.
    where
        Horizontal place of the first, 0 (left) to 1 (right).
    seed
        Of everything that is not said above: sizes, textures, grain.
    """

    kind: str
    colour: str
    setting: str
    light: str
    count: int
    where: float
    seed: int

    def words(self) -> str:
        """Return the scene in a few words, for people."""
        return f"{self.count} x {self.colour} {self.kind}, {self.setting}, {self.light}"


def random_scene(rng: Rng, kinds: tuple[str, ...]) -> Scene:
    """Draw a scene whose kind is one of `kinds`."""
    kind = kinds[int(rng.integers(len(kinds)))]
    colours, settings = KINDS[kind]
    setting = settings[int(rng.integers(len(settings)))]
    outdoors = setting not in INDOORS
    light = str(rng.choice(LIGHTS, p=(0.64, 0.18, 0.09, 0.09))) if outdoors else "day"
    return Scene(
        kind=kind,
        colour=colours[int(rng.integers(len(colours)))],
        setting=setting,
        light=light,
        count=int(rng.choice((1, 2, 3), p=(0.66, 0.2, 0.14))),
        where=float(rng.uniform(0.25, 0.75)),
        seed=int(rng.integers(2**31)),
    )


# --- backgrounds --------------------------------------------------------------------------------


def noise(rng: Rng, size: tuple[int, int], cell: tuple[float, float]) -> Pixels:
    """Return smooth noise of standard deviation about 1.

    Parameters
    ----------
    size, cell
        Width and height of the picture, and of one bump, in pixels.
    """
    small = [max(2, round(s / c)) for s, c in zip(size, cell, strict=True)]
    grid = rng.standard_normal((small[1], small[0])).astype(np.float32)
    image = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float64)


def _gradient(height: int, width: int, top: RGB, bottom: RGB) -> Pixels:
    t = np.linspace(0, 1, height)[:, None, None]
    column = (1 - t) * np.array(top, dtype=np.float64) + t * np.array(bottom, dtype=np.float64)
    return np.repeat(column, width, axis=1)


#: setting -> (colour near, colour far, bump width and height as shares, strength) of its ground
_GROUND: dict[str, tuple[RGB, RGB, float, float, float]] = {
    "sea": ((28, 76, 116), (92, 142, 172), 0.12, 0.012, 16),
    "lake": ((54, 96, 98), (124, 158, 160), 0.2, 0.01, 9),
    "beach": ((222, 198, 150), (202, 178, 134), 0.05, 0.02, 9),
    "meadow": ((66, 122, 44), (132, 170, 84), 0.012, 0.05, 16),
    "mountains": ((104, 116, 72), (142, 148, 112), 0.04, 0.03, 14),
    "forest": ((70, 66, 38), (62, 82, 44), 0.025, 0.03, 15),
    "snow": ((236, 240, 246), (206, 216, 230), 0.15, 0.06, 7),
    "street": ((92, 92, 96), (124, 122, 122), 0.015, 0.015, 8),
    "table": ((150, 102, 62), (122, 80, 48), 0.6, 0.015, 12),
    "kitchen": ((196, 196, 192), (172, 174, 174), 0.03, 0.03, 6),
}
_SKY: dict[str, tuple[RGB, RGB]] = {
    "day": ((84, 142, 208), (196, 220, 236)),
    "sunset": ((92, 78, 132), (250, 168, 96)),
    "night": ((10, 14, 38), (38, 46, 84)),
    "fog": ((176, 182, 188), (206, 208, 210)),
}
_WALL: dict[str, tuple[RGB, RGB]] = {
    "table": ((190, 178, 160), (214, 202, 184)),
    "kitchen": ((150, 190, 186), (186, 212, 206)),
}


def _ridge(rng: Rng, draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int, fill: RGB) -> None:
    width, height = size
    xs = np.linspace(0, width, 24)
    peaks = y - height * (0.08 + 0.24 * np.abs(noise(rng, (24, 2), (5, 2))[0]))
    points = list(zip(xs.tolist(), peaks.tolist(), strict=True))
    draw.polygon([(0, y), *points, (width, y)], fill=fill)


def _firs(rng: Rng, draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int) -> None:
    width, height = size
    for x in np.sort(rng.uniform(-0.05, 1.05, 26)).tolist():
        tall, g = height * float(rng.uniform(0.25, 0.55)), int(rng.integers(44, 84))
        half, base = tall * 0.2, y + height * float(rng.uniform(0, 0.06))
        fill = (g // 2, g, g // 2 + 6)
        draw.polygon(
            [(x * width - half, base), (x * width, base - tall), (x * width + half, base)], fill
        )


def _facades(rng: Rng, draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int) -> None:
    width, height = size
    x = -0.05 * width
    while x < width:
        wide, tall = (float(rng.uniform(a, b)) for a, b in ((0.12, 0.24), (0.25, 0.48)))
        wall = tuple(int(v) for v in rng.integers(120, 190, 3) * np.array((1.0, 0.95, 0.88)))
        draw.rectangle((x, y - tall * height, x + wide * width, y), fill=wall)
        for row in np.arange(y - tall * height + 8, y - 14, height * 0.09).tolist():
            for col in np.arange(x + 6, x + wide * width - 8, width * 0.05).tolist():
                draw.rectangle((col, row, col + width * 0.022, row + height * 0.045), (70, 78, 92))
        x += wide * width
    draw.rectangle((0, y, width, y + height * 0.04), (150, 148, 144))


def _tiles(draw: ImageDraw.ImageDraw, size: tuple[int, int], y: int) -> None:
    width, height = size
    step = height // 8
    for k in range(1, 1 + max(width, y) // step):
        draw.line((k * step, 0, k * step, y), (216, 228, 226), 2)
        if k * step < y:
            draw.line((0, k * step, width, k * step), (216, 228, 226), 2)


def _heaven(rng: Rng, scene: Scene, size: tuple[int, int]) -> Image.Image:
    """Paint the sky with clouds, and sun, moon or stars; or a wall."""
    width, height = size
    if scene.setting in INDOORS:
        sky = (
            _gradient(height, width, *_WALL[scene.setting])
            + 4 * noise(rng, size, (9, 9))[..., None]
        )
        return Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))
    sky = _gradient(height, width, *_SKY[scene.light])
    clouds = noise(rng, size, (width / 4, height / 9)) + 0.5 * noise(
        rng, size, (width / 12, height / 24)
    )
    cover = np.clip(clouds - rng.uniform(0.2, 1.2), 0, 1)[..., None]
    strength = {"day": 0.75, "sunset": 0.35, "night": 0.15, "fog": 0.2}[scene.light]
    sky = sky * (1 - strength * cover) + strength * cover * 250
    image = Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))
    draw, x, y = ImageDraw.Draw(image), float(rng.uniform(0.1, 0.9)) * width, height * 0.14
    if scene.light == "sunset":
        y = height * float(rng.uniform(0.26, 0.4))
    if scene.light in ("sunset", "night") or (scene.light == "day" and rng.random() < 0.5):
        r = height * 0.06
        fill = {"day": (255, 244, 190), "sunset": (255, 214, 120), "night": (236, 236, 220)}
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill[scene.light])
    if scene.light == "night":
        for sx, sy in rng.uniform((0, 0), (width, height * 0.5), (40, 2)).tolist():
            draw.ellipse((sx - 1, sy - 1, sx + 1, sy + 1), fill=(230, 230, 240))
    return image


def _background(rng: Rng, scene: Scene, size: tuple[int, int]) -> tuple[Image.Image, int]:
    """Paint all that is behind the objects; return it with the y of the horizon."""
    width, height = size
    horizon = round(height * float(rng.uniform(0.46, 0.6)))
    image = _heaven(rng, scene, size)
    draw = ImageDraw.Draw(image)
    if scene.setting in ("mountains", "lake", "snow"):
        _ridge(rng, draw, size, horizon, (120, 132, 156))
        _ridge(rng, draw, size, horizon, (96, 110, 112))
    if scene.setting == "street":
        _facades(rng, draw, size, horizon)
    if scene.setting == "kitchen":
        _tiles(draw, size, horizon)
    near, far, wide, tall, strength = _GROUND[scene.setting]
    ground = _gradient(height - horizon, width, far, near)
    below = (width, height - horizon)
    bumps = noise(rng, below, (wide * width, tall * height)) + 0.6 * noise(rng, below, (3, 2))
    ground = (
        ground + (strength * bumps)[..., None] + 5 * noise(rng, below, (width / 3, 30))[..., None]
    )
    image.paste(Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8)), (0, horizon))
    draw = ImageDraw.Draw(image)
    if scene.setting == "forest":
        _firs(rng, draw, size, horizon)
    if scene.setting == "beach":
        draw.rectangle((0, horizon - height * 0.06, width, horizon), (74, 134, 164))
    return image, horizon


# --- the picture --------------------------------------------------------------------------------


def _sprite(kind: str, colour: RGB, r: float, flip: bool) -> Image.Image:
    """Draw one object on a transparent square of 2.8 r, lit from the upper left."""
    side = max(4, round(2.8 * r))
    sprite = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    PAINTERS[kind](Pen(ImageDraw.Draw(sprite), side / 2, side / 2, r, flip), colour)
    pixels = np.asarray(sprite, dtype=np.float64).copy()
    t = np.linspace(-1, 1, side)
    pixels[..., :3] *= (1.0 - 0.16 * (t[None, :] + t[:, None]))[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGBA")


def _place(rng: Rng, scene: Scene, image: Image.Image, horizon: int) -> None:
    """Draw the objects, each with a soft shadow."""
    width, height = image.size
    fill = float(rng.uniform(0.21, 0.31)) * (1.0, 0.82, 0.68)[scene.count - 1]
    base = np.array(COLOURS[scene.colour]) + rng.normal(0, 9, 3)
    flip = bool(rng.random() < 0.5)
    for k in range(scene.count):
        r = height * fill * _SIZE.get(scene.kind, 1.0) * float(rng.uniform(0.9, 1.1))
        spread = (k + 0.5) / scene.count + 0.2 * (scene.where - 0.5)
        x = width * (scene.where if scene.count == 1 else spread)
        foot = max(horizon + 0.1 * height, height * float(rng.uniform(0.76, 0.92)))
        y = foot - r - height * _LIFT.get(scene.kind, 0.0)
        red, green, blue = (int(c) for c in np.clip(base + rng.normal(0, 5, 3), 0, 255))
        if scene.kind not in _LIFT:
            shadow = Image.new("L", image.size, 0)
            ImageDraw.Draw(shadow).ellipse((x - r, y + 0.9 * r, x + r, y + 1.1 * r), fill=110)
            image.paste((20, 22, 24), mask=shadow.filter(ImageFilter.BoxBlur(r * 0.06)))
        sprite = _sprite(scene.kind, (red, green, blue), r, flip)
        corner = (round(x - sprite.width / 2), round(y - sprite.height / 2))
        image.paste(sprite.convert("RGB"), corner, sprite)


_TINT = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.02, 0.82, 0.68),
    "night": (0.36, 0.4, 0.6),
    "fog": (0.95, 0.97, 1.0),
}


def paint(scene: Scene, size: tuple[int, int], oversample: int = 1) -> Pixels:
    """Paint a scene.

    Parameters
    ----------
    scene
        What to paint; the same scene and size give the same picture.
    size
        Width and height in pixels.
    oversample
        Draw so many times larger and scale down, for smooth edges.

    Returns
    -------
    array of shape (height, width, 3), 0 to 255, not rounded, without grain
    """
    rng = np.random.default_rng(scene.seed)
    image, horizon = _background(rng, scene, (size[0] * oversample, size[1] * oversample))
    _place(rng, scene, image, horizon)
    if oversample > 1:
        image = image.resize(size, Image.Resampling.BOX)
    pixels = np.asarray(image, dtype=np.float64) * np.array(_TINT[scene.light])
    if scene.light == "fog":
        pixels = 0.55 * pixels + 0.45 * 205
    pixels = pixels * float(rng.uniform(0.88, 1.08)) + rng.normal(0, 4, 3)
    v, h = np.linspace(-1, 1, size[1])[:, None], np.linspace(-1, 1, size[0])[None, :]
    vignette = 1.03 - float(rng.uniform(0.05, 0.14)) * (v**2 + h**2)
    return np.asarray(pixels * vignette[..., None], dtype=np.float64)


def _encoded(pixels: Pixels) -> bytes:
    """Save as OpenFlamingo's converter does: JPEG with Pillow's defaults."""
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(buffer, format="JPEG")
    return buffer.getvalue()


def photo_bytes(pixels: Pixels, n_bytes: int, seed: int) -> bytes:
    """Return the picture as a JPEG of about `n_bytes`, by the strength of the film grain alone."""
    rng = np.random.default_rng(seed)
    height, width = pixels.shape[:2]
    fine = rng.standard_normal((height, width, 1)) + 0.3 * rng.standard_normal((height, width, 3))
    low, high = 0.0, 40.0
    for _ in range(8):
        grain = (low + high) / 2
        if len(_encoded(pixels + grain * fine)) < n_bytes:
            low = grain
        else:
            high = grain
    return _encoded(pixels + high * fine)
