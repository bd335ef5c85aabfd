"""Images of every format and mode that Pillow writes, and ways to damage them."""

from __future__ import annotations

import io
import random
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
PLAIN = (
    "PNG", "JPEG", "JPEG2000", "WEBP", "TIFF", "GIF", "BMP", "TGA", "PPM", "SGI", "PCX", "DIB",
    "DDS", "ICO", "QOI", "SPIDER", "MSP", "XBM", "BLP",
)  # fmt: skip
OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("P", "PNG", {"transparency": 3}),
    ("L", "PNG", {"transparency": 7}),
    ("RGB", "PNG", {"transparency": (1, 2, 3)}),
    ("L", "JPEG", {"progressive": True}),
    ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    ("CMYK", "JPEG", {"progressive": True}),
    ("RGB", "JPEG", {"restart_marker_blocks": 3}),
    ("RGB", "JPEG", {"keep_rgb": True, "quality": 100}),
    ("RGBA", "WEBP", {"lossless": True}),
    ("RGB", "AVIF", {"speed": 10}),
    ("RGBA", "TIFF", {"compression": "tiff_deflate"}),
    ("P", "TIFF", {"compression": "tiff_lzw"}),
    ("I;16", "TIFF", {"compression": "packbits"}),
    ("1", "TIFF", {"compression": "group4"}),
    ("RGB", "TIFF", {"compression": "jpeg"}),
    ("RGB", "TGA", {"compression": "tga_rle"}),
)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return a picture's file."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def drawn(mode: str, size: tuple[int, int] = (43, 21), seed: int = 0) -> Image.Image:
    """Return noise over a ramp."""
    generator = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(generator.integers(0, 2**16, size[::-1], np.uint16))
    pixels = generator.integers(0, 256, (size[1], size[0], 3), np.uint8)
    pixels[:, :, 0] = np.arange(size[0]) * 3 % 256
    image = Image.fromarray(pixels)
    return image.convert("L").convert(mode) if mode in ("I", "F") else image.convert(mode)


def iptc(kind: bytes, data: bytes) -> bytes:
    """Return an IPTC file with a picture in it: kind 1 raw, 5 of any other format."""
    fields = {(3, 60): b"\1\0", (3, 20): b"\0\x2b", (3, 30): b"\0\x15", (3, 120): kind}
    written = b"".join(_field(tag, body) for tag, body in fields.items())
    return written + _field((8, 10), data) + bytes(5)


def _field(tag: tuple[int, int], data: bytes) -> bytes:
    return bytes([0x1C, *tag]) + struct.pack(">H", len(data)) + data


def ico(data: bytes) -> bytes:
    """Return an icon that holds a PNG."""
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(data), 22) + data


def icns(data: bytes) -> bytes:
    """Return a Macintosh icon that holds a PNG or a JPEG 2000."""
    block = b"ic10" + struct.pack(">I", len(data) + 8) + data
    return b"icns" + struct.pack(">I", len(block) + 8) + block


def lossless_jpeg(width: int, height: int) -> bytes:
    """Return a gray lossless JPEG, which has no draft mode."""
    frame = b"\xff\xc3" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    codes = b"\xff\xc4" + struct.pack(">H", 21) + b"\0" + bytes([0, 2, *bytes(14)]) + b"\0\1"
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\1\0\1\0\0"
    return b"\xff\xd8" + frame + codes + scan + bytes(width * height // 8 + 16) + b"\xff\xd9"


@cache
def pictures() -> dict[str, bytes]:
    """Return pictures by name."""
    found: dict[str, bytes] = {}
    for form, mode, options in [
        *((form, mode, {}) for form in PLAIN for mode in MODES),
        *((form, mode, options) for mode, form, options in OPTIONS),
    ]:
        try:
            found[f"{form} {mode} {options or ''}"] = saved(drawn(mode), form, **options)
        except (OSError, ValueError, KeyError, TypeError):  # not every format has every mode
            continue
    rgb, others = drawn("RGB"), [drawn("RGB", seed=1), drawn("RGB", seed=2)]
    for form in ("MPO", "GIF", "PNG", "WEBP"):
        found[f"{form} of several"] = saved(rgb, form, save_all=True, append_images=others)
    turned = Image.Exif()
    turned[274] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found["JPEG turned"] = saved(rgb, "JPEG", exif=turned)
    found["JPEG with a profile"] = saved(rgb, "JPEG", icc_profile=profile)
    found["PNG with a profile"] = saved(rgb, "PNG", icc_profile=profile)
    found["JPEG lossless"] = lossless_jpeg(64, 64)
    found["IPTC raw"] = iptc(b"\1", drawn("L").tobytes())
    found["IPTC of a JPEG"] = iptc(b"\5", saved(drawn("L"), "JPEG"))
    found["ICNS of a PNG"] = icns(found["PNG RGB "])
    found["ICNS of a JPEG 2000"] = icns(found["JPEG2000 RGBA "])
    found["ICO of a PNG"] = ico(found["PNG RGB "])
    found["PPM in digits"] = b"P3\n2 2\n255\n1 2 3 4 5 6 7 8 9 10 11 12\n"
    return found


def damaged(data: bytes, r: random.Random) -> bytes:
    """Return a file cut off, with bytes lost or put in, or with bits flipped."""
    work, how = bytearray(data), r.random()
    at = r.randrange(len(work))
    if how < 0.2:
        return bytes(work[: max(1, at)])
    if how < 0.35:
        del work[at : at + r.randrange(1, 40)]
    elif how < 0.45:
        work[at:at] = r.randbytes(r.randrange(1, 20))
    for _ in range(r.choice((1, 1, 1, 2, 5, 20)) if how >= 0.45 else 0):
        near = r.random() < 0.5
        work[r.randrange(min(len(work), 200) if near else len(work))] ^= 1 << r.randrange(8)
    return bytes(work)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


TOO_MUCH_TEXT = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(3_000_000)))  # for Pillow


def odd_png(r: random.Random) -> bytes:
    """Return a PNG with rows too few or too many, damaged or cut in some place of its stream."""
    width, height = r.randrange(1, 40), r.randrange(1, 30)
    depth, colour = r.choice(
        [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (4, 3), (8, 3), (8, 4), (16, 4),
         (8, 6), (16, 6)]
    )  # fmt: skip
    row = (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] + 7) // 8
    rows = r.choice([0, 1, height - 1, height, height, height, height + 1, height + 3])
    filters = [r.randrange(5) if r.random() > 0.01 else r.randrange(256) for _ in range(rows)]
    body = b"".join(bytes([kind]) + (r.randbytes(row) if r.random() < 0.5 else bytes(row))
                    for kind in filters)  # fmt: skip
    if r.random() < 0.3:
        body = body[: r.randrange(len(body) + 1)]
    stream = bytearray(zlib.compress(body, r.choice([0, 1, 9])))
    if r.random() < 0.3:
        stream[-r.randrange(1, 5)] ^= 1
    if r.random() < 0.2:
        del stream[r.randrange(len(stream)) :]
    if r.random() < 0.1:
        stream += r.randbytes(9)
    cuts = sorted(r.randrange(len(stream) + 1) for _ in range(r.choice([0, 0, 1, 3])))
    pieces = zip([0, *cuts], [*cuts, len(stream)], strict=True)
    out = b"\x89PNG\r\n\x1a\n"
    out += chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    out += chunk(b"PLTE", bytes(range(48))) * (colour == 3)
    out += b"".join(chunk(b"IDAT", bytes(stream[a:b])) for a, b in pieces)
    if r.random() < 0.1:
        out += TOO_MUCH_TEXT
    return out + chunk(b"IEND", b"") * (r.random() < 0.9)
