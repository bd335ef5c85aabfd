"""Seeded documents, ordinary and malformed, as the bytes of a shard's JSON members.

Half of what `documents` yields is ordinary MMC4, half comes from `nasty()`, a table of named makers
that is cycled through, so that every kind appears as soon as there are enough documents. The kind
is part of the key: `000123-matrix_ragged_kept`. What the loader does to a kind is not written here;
the original loader is the reference.

The images are made once per process and shared by all documents. They have few pixels and are
padded after their end to the required size, so that they decode quickly.
"""

from __future__ import annotations

import base64
import io
import json
import math
import random
import re
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

Doc = dict[str, Any]
Maker = Callable[[random.Random], bytes | None]
Edit = Callable[[random.Random, Doc], None]
Recode = Callable[[random.Random, bytes], bytes]
Writer = Callable[[random.Random], str]

SMALLEST = 11_000  # bytes of the smallest image that the loader accepts
SPECIALS = ("<|endofchunk|>", "<image>", "<|endoftext|>", "<PAD>")
THRESHOLDS = (0.2, 0.24, 0.25, 0.3)  # scores are laid on and beside these


# ------------------------------------------------------------------------------------------- images


@dataclass(frozen=True)
class Pool:
    """Base64 of the images, by name: good and large enough; large, but odd or broken; too small."""

    good: dict[str, str]
    odd: dict[str, str]
    small: dict[str, str]


def _noise(r: random.Random, mode: str, width: int, height: int) -> Image.Image:
    grey = Image.frombytes("RGB", (width, height), r.randbytes(width * height * 3))
    return grey.convert(mode)


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _padded(data: bytes, size: int) -> bytes:
    if len(data) > size:
        raise ValueError(f"{len(data)} bytes do not fit into {size}")
    return data + b"\0" * (size - len(data))


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_zeros(width: int, height: int) -> bytes:
    """Write a valid black PNG of one bit a pixel without holding its pixels."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", body) + _png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _bomb(width: int, height: int) -> bytes:
    """Make a PNG whose header claims more pixels than Pillow allows; it has none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", b"x")


def _whole_images(r: random.Random) -> dict[str, bytes]:
    """Make one small image of each kind, before padding."""
    rgb, grey = _noise(r, "RGB", 32, 24), _noise(r, "L", 40, 40)
    frames = [_noise(r, "P", 20, 20) for _ in range(3)]
    palette = _noise(r, "P", 48, 32)
    return {
        "jpeg": _saved(rgb, "JPEG"),
        "jpeg_grey": _saved(grey, "JPEG"),
        "jpeg_cmyk": _saved(_noise(r, "CMYK", 24, 24), "JPEG"),
        "jpeg_progressive": _saved(rgb, "JPEG", progressive=True, quality=95),
        "jpeg_one_pixel": _saved(_noise(r, "RGB", 1, 1), "JPEG"),
        "jpeg_flat": _saved(Image.new("RGB", (640, 480), (90, 120, 200)), "JPEG"),
        "png": _saved(rgb, "PNG"),
        "png_rgba": _saved(_noise(r, "RGBA", 24, 24), "PNG"),
        "png_palette": _saved(palette, "PNG"),
        "png_palette_transparent": _saved(palette, "PNG", transparency=bytes(range(200))),
        "png_one_bit": _saved(_noise(r, "1", 64, 64), "PNG"),
        "png_grey_alpha": _saved(_noise(r, "LA", 20, 30), "PNG"),
        "png_16_bit": _saved(Image.frombytes("I;16", (30, 30), r.randbytes(1800)), "PNG"),
        "gif": _saved(_noise(r, "P", 40, 40), "GIF"),
        "gif_animated": _saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "webp": _saved(rgb, "WEBP"),
        "webp_lossless_alpha": _saved(_noise(r, "RGBA", 24, 24), "WEBP", lossless=True),
        "bmp": _saved(rgb, "BMP"),
        "ppm": _saved(rgb, "PPM"),
        "tiff": _saved(rgb, "TIFF"),
        "tiff_cmyk": _saved(_noise(r, "CMYK", 24, 24), "TIFF"),
    }


def _broken_images(r: random.Random) -> dict[str, bytes]:
    """Make images large enough, and odd or broken: some decode, most do not."""
    big_jpeg = _saved(_noise(r, "RGB", 128, 128), "JPEG", quality=95)
    big_png = _saved(_noise(r, "RGB", 80, 80), "PNG")
    big_gif = _saved(_noise(r, "P", 160, 160), "GIF")
    big_webp = _saved(_noise(r, "RGB", 96, 96), "WEBP", lossless=True)
    big_bmp = _saved(_noise(r, "RGB", 90, 90), "BMP")
    big_tiff = _saved(_noise(r, "RGB", 90, 90), "TIFF")
    small_jpeg = _saved(_noise(r, "RGB", 32, 32), "JPEG")
    size = SMALLEST + 500
    flipped = bytearray(big_png)
    flipped[len(flipped) // 2] ^= 0x55
    middle = bytearray(big_jpeg)
    middle[4000:6000] = bytes(2000)
    return {
        "jpeg_truncated": big_jpeg[:12_000],
        "jpeg_truncated_to_limit": big_jpeg[:SMALLEST],
        "jpeg_without_end_marker": big_jpeg[:-2],
        "jpeg_end_replaced": big_jpeg[:12_000] + b"\xff\xd9",
        "jpeg_zeroed_middle": bytes(middle),
        "jpeg_cut_then_padded": _padded(small_jpeg[: len(small_jpeg) // 2], size),
        "jpeg_header_only": _padded(small_jpeg[:20], size),
        "png_truncated": big_png[:12_000],
        "png_bad_checksum": bytes(flipped),
        "png_without_end": big_png[:-12],
        "png_bomb": _padded(_bomb(50_000, 50_000), size),
        "png_zero_width": _padded(_bomb(0, 10), size),
        "png_header_only": _padded(_bomb(16, 16)[:33], size),
        "png_text_too_large": _text_bomb(),
        "gif_truncated": big_gif[:12_000],
        "gif_header_only": _padded(big_gif[:13], size),
        "webp_truncated": big_webp[:12_000],
        "bmp_truncated": big_bmp[:12_000],
        "tiff_truncated": big_tiff[:12_000],
        "tiff_float": _padded(_saved(_noise(r, "F", 24, 24), "TIFF"), size),
        "tiff_lab": _padded(_saved(Image.new("LAB", (16, 16), 7), "TIFF"), size),
        "tiff_int32": _padded(_saved(_noise(r, "I", 24, 24), "TIFF"), size),
        "garbage": r.randbytes(size),
        "zeros": bytes(size),
        "zeros_at_limit": bytes(SMALLEST),
        "html_page": _padded(b"<!DOCTYPE html><html><body>404</body></html>", size),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'>" + b" " * size + b"</svg>",
        "junk_before_jpeg": b"\n" + _padded(small_jpeg, size),
        "two_jpegs": _padded(small_jpeg + small_jpeg, size),
        "gzip": b"\x1f\x8b\x08" + r.randbytes(size),
    }


def _text_bomb() -> bytes:
    """Make a PNG with a compressed text chunk larger than Pillow unpacks."""
    whole = _saved(Image.new("RGB", (8, 8)), "PNG")
    text = _png_chunk(b"zTXt", b"c\0\0" + zlib.compress(b"a" * 2_000_000))
    return _padded(whole[:33] + text + whole[33:], SMALLEST + 500)


@cache
def pool() -> Pool:
    """Return the images, made once; the same in every process."""
    r = random.Random(20_231_031)
    whole = _whole_images(r)
    sizes = (SMALLEST, SMALLEST + 1, SMALLEST + 2, 11_500, 12_345)
    good = {
        name: _padded(data, sizes[i % len(sizes)]) for i, (name, data) in enumerate(whole.items())
    }
    good["jpeg_at_limit"] = _padded(whole["jpeg"], SMALLEST)
    good["png_at_limit"] = _padded(whole["png"], SMALLEST)
    good["jpeg_unpadded"] = _saved(_noise(r, "RGB", 128, 128), "JPEG", quality=90)
    good["png_unpadded"] = _saved(_noise(r, "RGB", 64, 64), "PNG")
    good["jpeg_large"] = _padded(_saved(Image.new("RGB", (1200, 900), (9, 8, 7)), "JPEG"), 60_000)
    small = {f"{name}_small": data for name, data in whole.items()}
    small["jpeg_10999"] = _padded(whole["jpeg"], SMALLEST - 1)
    small["png_10999"] = _padded(whole["png"], SMALLEST - 1)
    small["jpeg_10000"] = _padded(whole["jpeg"], 10_000)
    small["jpeg_10240"] = _padded(whole["jpeg"], 10_240)
    small["jpeg_truncated_small"] = whole["jpeg"][:300]
    small["png_truncated_small"] = whole["png"][:100]
    small["garbage_small"] = r.randbytes(500)
    small["garbage_10999"] = r.randbytes(SMALLEST - 1)
    small["three_bytes"] = b"abc"
    small["empty"] = b""

    def encoded(group: dict[str, bytes]) -> dict[str, str]:
        return {name: base64.b64encode(data).decode() for name, data in group.items()}

    return Pool(encoded(good), encoded(_broken_images(r)), encoded(small))


@cache
def _choices() -> tuple[list[str], list[str], list[str]]:
    p = pool()
    frequent = [v for k, v in p.good.items() if k != "jpeg_large"]
    return frequent, list(p.small.values()), list(p.odd.values())


# --------------------------------------------------------------------------------------------- text

PROSE = """
the a of and to in on with from over under near bright small red blue green old new quiet harbour
market bridge garden kitchen lantern mountain river bicycle window children photograph festival
bread recipe wooden painted afternoon winter walk carry build remember measure polish deliver
approach it's don't e.g. 3.5 1,000 2023 (see) "quoted" well-known naïve café Zürich façade — … €
50% @home #tag C++ state-of-the-art incomprehensibilities
"""
WORDS = PROSE.split()
FOREIGN = {
    "cjk": "今日は天気がいいので散歩に行きました。我们在海边拍了很多照片然后回家了。",
    "arabic": "ذهبنا إلى السوق القديم واشترينا الخبز والتمر \u200fثم عدنا",
    "hebrew": "הלכנו לשוק הישן וקנינו לחם",
    "thai": "วันนี้อากาศดีเราจึงไปเดินเล่นที่ตลาด",
    "hindi": "हम पुराने बाज़ार गए और रोटी खरीदी क्षत्रिय",
    "hangul": "오늘은 날씨가 좋아서 시장에 갔습니다",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ☺️ 🤷🏿‍♂️",
}
SPACES = (
    " ",
    "  ",
    "   ",
    " " * 9,
    " " * 24,
    " " * 40,
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\u2003",
    "\u200b",
    "\ufeff",
)
COMBINING = (
    "\u0301",
    "\u0308",
    "\u0323",
    "\u0345",
    "\u094d",
    "\u3099",
    "\u20e3",
    "\ufe0f",
    "\u200d",
)
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "javascript:alert(document.cookie)",
    "![x](http://example.invalid/x.png)",
    "# Heading\n\n* item\n\n```python\nprint()\n```",
    "$\\frac{1}{0}$ and $$\\input{/etc/passwd}$$",
    ":red[coloured] :material/delete: :smile:",
    "</div></body></html><!-- ",
    "&lt;image&gt; &amp;nbsp; &#60;image&#62;",
    "\x00\x01\x02\x07\x08\x1b[31mred\x1b[0m\x7f\x85",
    "\u202etxet desrever\u202c \u2066isolate\u2069",
    "'; DROP TABLE documents; --",
    "%s %d {0} {x!r} ${HOME} `id`",
    "a|b|c\n-|-|-\n1|2|3",
    "=cmd|' /C calc'!A0",
    "\ufffe\uffff\U0010ffff\U000e0001",
)


def words(r: random.Random, low: int, high: int) -> str:
    return " ".join(r.choices(WORDS, k=r.randint(low, high)))


def _around(text: str) -> Writer:
    """Put the text into a sentence: alone, at an end, in the middle, with and without spaces."""

    def write(r: random.Random) -> str:
        left = r.choice(("", " ", "  ", "before", "before ", "before  "))
        right = r.choice(("", " ", "  ", "after", " after", "  after"))
        return left + text + right

    return write


def _fragments(r: random.Random) -> str:
    """Mix special tokens, pieces of them, spaces and words in any order."""
    pieces = [
        *SPECIALS,
        "<image",
        ">",
        "<im",
        "age>",
        "<|endof",
        "chunk|>",
        "<|endofchunk|>",
        "<image>",
    ]
    pieces += [" ", " ", "  ", "a", "word", " word", "\n", "\u0301", "<", "|>", "."]
    return "".join(r.choices(pieces, k=r.randint(1, 12)))


def _foreign(text: str) -> Writer:
    def write(r: random.Random) -> str:
        start = r.randrange(len(text))
        return (text * 3)[start : start + r.randint(1, 2 * len(text))]

    return write


TEXTS: dict[str, Writer] = {
    **{f"literal_{s.strip('<|>')}": _around(s) for s in SPECIALS},
    "literal_image_twice": _around("<image><image>"),
    "literal_images_spaced": _around("<image> <image>  <image>"),
    "literal_chunk_image": _around("<|endofchunk|><image>"),
    "literal_chunk_space_image": _around("<|endofchunk|> <image>"),
    "literal_image_chunk": _around("<image> <|endofchunk|>"),
    "literal_many_images": lambda r: "<image>" * r.randint(3, 12),
    "image_split_by_chunk": _around("<im<|endofchunk|>age>"),
    "image_split_by_spaced_chunk": _around("<im <|endofchunk|>age>"),
    "image_split_by_image": _around("<im<image>age>"),
    "chunk_split_by_chunk": _around("<|endof<|endofchunk|>chunk|>"),
    "chunk_split_by_image": _around("<|endof<image>chunk|>"),
    "chunk_many": lambda r: "<|endofchunk|>" * r.randint(2, 6),
    "image_half_at_end": lambda r: words(r, 1, 4) + " <im",
    "image_half_at_start": lambda r: "age> " + words(r, 1, 4),
    "image_upper_case": _around("<IMAGE>"),
    "image_fullwidth": _around("＜image＞"),
    "image_with_spaces_in": _around("< image >"),
    "image_with_combining": _around("<image>\u0301"),
    "less_than_at_end": lambda r: words(r, 1, 3) + r.choice(("<", " <", "<|", " <|endofchunk|")),
    "other_special_tokens": _around("assistant RWKV <|padding|> <|im_start|></s><pad><s><unk>"),
    "word_like_special": _around("assistants"),
    "fragments": _fragments,
    "fragments_more": lambda r: " ".join(_fragments(r) for _ in range(r.randint(2, 5))),
    "empty": lambda r: "",
    "one_space": lambda r: " ",
    "only_spaces": lambda r: r.choice(SPACES) * r.randint(1, 3),
    "spaces_at_start": lambda r: r.choice(SPACES) + words(r, 1, 6),
    "spaces_at_end": lambda r: words(r, 1, 6) + r.choice(SPACES),
    "spaces_inside": lambda r: r.choice(SPACES).join(r.choices(WORDS, k=5)),
    "newlines": lambda r: "\n" + words(r, 1, 3) + "\n\n" + words(r, 1, 3) + "\n",
    "no_break_spaces": lambda r: "\u00a0" + words(r, 1, 3) + "\u00a0",
    "zero_width": lambda r: "\u200b" + words(r, 1, 3) + "\u200b\ufeff",
    "combining_at_start": lambda r: r.choice(COMBINING) + words(r, 1, 5),
    "combining_at_end": lambda r: words(r, 1, 5) + r.choice(COMBINING),
    "combining_only": lambda r: "".join(r.choices(COMBINING, k=r.randint(1, 4))),
    "decomposed": lambda r: "e\u0301 a\u030a o\u0308\u0323 \u212b \u2126 \ufb01 \u1e9b\u0323",
    "jamo": lambda r: r.choice(
        ("\u1100\u1161\u11a8", "\u1161\u11a8 x", "x \u1100", "\u11a8", "가\u11a8")
    ),
    "punctuation_only": lambda r: r.choice((".", "...", "'", "'s", '"', "—", "!?", "<", ">", "|")),
    "digits": lambda r: "".join(r.choices("0123456789", k=r.randint(1, 60))),
    "one_letter": lambda r: r.choice("abcXYZ"),
    "long_word": lambda r: "".join(r.choices("abcdefghijkl", k=r.randint(300, 3000))),
    "long_repeat": lambda r: r.choice(("a", "-", "!", "=", "ha", "é")) * r.randint(200, 2000),
    "very_long": lambda r: words(r, 300, 900),
    "hostile": lambda r: r.choice(HOSTILE),
    "hostile_all": lambda r: " ".join(r.sample(HOSTILE, k=len(HOSTILE))),
    "control_characters": lambda r: "".join(chr(r.randrange(32)) for _ in range(r.randint(1, 20))),
    "any_characters": lambda r: "".join(_any_character(r) for _ in range(r.randint(1, 30))),
    "latin_any_characters": lambda r: "".join(chr(r.randrange(32, 592)) for _ in range(20)),
    "mark_of_gpt_document": lambda r: "_!_IMAGE1_!_ " + words(r, 1, 3),
    "says_image_base64": lambda r: '"image_base64": "AAAA", "is_gpt": true',
    **{f"in_{name}": _foreign(text) for name, text in FOREIGN.items()},
}
SURROGATES: dict[str, Writer] = {
    "high": _around("\ud83d"),
    "low": _around("\ude00"),
    "swapped": _around("\ude00\ud83d"),
    "beside_token": _around("<image>\udcff<|endofchunk|>"),
}
NOT_TEXT: dict[str, Any] = {
    "null": None,
    "true": True,
    "int": 7,
    "float": 0.1,
    "large_float": 1e22,
    "nan": math.nan,
    "infinity": math.inf,
    "huge_int": 10**30,
    "list": ["a", 1, None],
    "list_of_specials": ["<image>", " <|endofchunk|>"],
    "list_of_surrogate": ["\ud800"],
    "list_of_controls": ["\u200b\x07\u00e9'\""],
    "empty_list": [],
    "dict": {"text": "a <image> b", "n": 1.0},
    "empty_dict": {},
}


def _any_character(r: random.Random) -> str:
    code = r.choice(
        (r.randrange(0x80), r.randrange(0x3000), r.randrange(0x10000), r.randrange(0x110000))
    )
    return "?" if 0xD800 <= code < 0xE000 else chr(code)


# ---------------------------------------------------------------------------------------- documents


def score(r: random.Random) -> float:
    return r.gauss(0.24, 0.06)


def _as_single(x: float) -> float:
    """Give the double that a single-precision value becomes in JSON, as in MMC4 itself."""
    return float(struct.unpack("f", struct.pack("f", x))[0])


def matrix(r: random.Random, rows: int, columns: int, style: str) -> list[list[float]]:
    """Draw similarities in one of several styles; most of them are full of ties."""

    def value() -> float:
        match style:
            case "two_decimals":
                return round(score(r), 2)
            case "one_decimal":
                return round(score(r), 1)
            case "single_of_two_decimals":
                return _as_single(round(score(r), 2))
            case "beside_thresholds":
                t = r.choice(THRESHOLDS)
                return r.choice((t, math.nextafter(t, 0), math.nextafter(t, 1), _as_single(t)))
            case "times_hundred":
                return _as_single(100 * score(r))
            case "single":
                return _as_single(score(r))
            case _:
                return score(r)

    return [[value() for _ in range(columns)] for _ in range(rows)]


def _image(r: random.Random, content: str | None, similarities: list[float]) -> Doc:
    best = max(range(len(similarities)), key=similarities.__getitem__, default=0)
    name = f"{r.getrandbits(48):012x}.jpg"
    entry: Doc = {
        "image_name": name,
        "raw_url": f"http://example.invalid/{name}",
        "matched_text_index": best,
        "matched_sim": similarities[best] if similarities else 0.0,
        "face_detections": None,
    }
    if content is not None:
        entry["image_base64"] = content
    return entry


def mmc4(r: random.Random, contents: list[str | None], sentences: list[str], style: str) -> Doc:
    """Make a well-formed document of images (None: not downloaded) and sentences."""
    similarity = matrix(r, len(contents), len(sentences), style)
    return {
        "image_info": [_image(r, c, row) for c, row in zip(contents, similarity, strict=True)],
        "similarity_matrix": similarity,
        "text_list": sentences,
        "url": f"http://example.invalid/{r.randrange(10**6)}.html",
        "could_have_url_duplicate": r.randrange(2),
    }


def dump(r: random.Random, value: object) -> bytes:
    """Write JSON as several writers would: escaped or not, compact, spaced or indented."""
    text = json.dumps(
        value,
        ensure_ascii=r.random() < 0.5,
        separators=r.choice(((",", ":"), (", ", ": "))),
        indent=1 if r.random() < 0.05 else None,
    )
    return text.encode("utf-8", "surrogatepass")


def _contents(r: random.Random, n: int) -> list[str | None]:
    good, small, broken = _choices()

    def one() -> str | None:
        x = r.random()
        if x < 0.70:
            return r.choice(good)
        if x < 0.85:
            return None
        return r.choice(small) if x < 0.997 else r.choice(broken)

    return [one() for _ in range(n)]


def _good(r: random.Random, n: int) -> list[str | None]:
    return [r.choice(_choices()[0]) for _ in range(n)]


def _style(r: random.Random) -> str:
    styles = ("double", "single", "two_decimals", "one_decimal", "single_of_two_decimals")
    return r.choices((*styles, "beside_thresholds", "times_hundred"), (2, 5, 3, 2, 1, 1, 0.5))[0]


def _plain(r: random.Random) -> bytes:
    sentences = [words(r, 2, 18) for _ in range(r.randint(1, 14))]
    return dump(r, mmc4(r, _contents(r, r.randint(1, 8)), sentences, _style(r)))


def _ties(r: random.Random) -> bytes:
    sentences = [words(r, 2, 9) for _ in range(r.randint(1, 10))]
    style = r.choice(("one_decimal", "two_decimals", "beside_thresholds"))
    return dump(r, mmc4(r, _contents(r, r.randint(2, 10)), sentences, style))


def _many(r: random.Random) -> bytes:
    sentences = [words(r, 1, 5) for _ in range(r.randint(8, 40))]
    return dump(r, mmc4(r, _contents(r, r.randint(6, 12)), sentences, _style(r)))


def _long(r: random.Random) -> bytes:
    sentences = [words(r, 20, 60) for _ in range(r.randint(4, 40))]
    return dump(r, mmc4(r, _contents(r, r.randint(1, 7)), sentences, _style(r)))


def _surplus_images(r: random.Random) -> bytes:
    sentences = [words(r, 2, 10) for _ in range(r.randint(0, 4))]
    return dump(r, mmc4(r, _contents(r, r.randint(4, 12)), sentences, _style(r)))


def _one_image(r: random.Random) -> bytes:
    sentences = [words(r, 2, 12) for _ in range(r.randint(1, 8))]
    return dump(r, mmc4(r, _good(r, 1), sentences, _style(r)))


def _unusual_text(r: random.Random) -> bytes:
    scripts = [_foreign(text) for text in FOREIGN.values()]
    sentences = [r.choice(scripts)(r) for _ in range(r.randint(1, 10))]
    return dump(r, mmc4(r, _contents(r, r.randint(1, 6)), sentences, _style(r)))


def _at_the_end(r: random.Random) -> bytes:
    """Place the one image's token last before a token limit, or one or two tokens off.

    "the" and " the" are one token each in byte-level vocabularies: no tokenizer is needed to count.
    """
    limit = r.choice((256, 256, 256, 256, 128, 64, 32, 16, 8, 2))
    filler = limit - 1 + r.choice((-2, -1, 0, 0, 0, 0, 1, 2))
    sentences: list[str] = []
    left = max(filler, 0)
    while left:
        n = min(left, r.randint(1, 60))
        sentences.append(" ".join(["the"] * n))
        left -= n
    place = len(sentences)
    sentences.append(r.choice(("", "the end", words(r, 1, 9))))
    sentences += [words(r, 1, 9) for _ in range(r.randrange(3))]
    document = mmc4(r, _good(r, 1), sentences, "single")
    document["similarity_matrix"][0][place] = 0.9
    return dump(r, document)


ORDINARY: dict[str, tuple[Maker, float]] = {
    "plain": (_plain, 8),
    "ties": (_ties, 4),
    "many": (_many, 3),
    "long": (_long, 3),
    "surplus_images": (_surplus_images, 2),
    "one_image": (_one_image, 2),
    "at_the_end": (_at_the_end, 2),
    "unusual_text": (_unusual_text, 1),
}


# -------------------------------------------------------------------------------------------- nasty


def base(r: random.Random) -> Doc:
    """Draw what a mutator starts from: mostly good images, scores on both sides of thresholds."""
    count = r.randint(1, 5)
    contents = _good(r, count)
    for i in range(count):
        if r.random() < 0.2:
            contents[i] = r.choice((None, pool().small["jpeg_10999"]))
    sentences = [words(r, 1, 8) for _ in range(r.randint(1, 8))]
    return mmc4(r, contents, sentences, _style(r))


def lose_images(r: random.Random, d: Doc) -> None:
    for entry in d["image_info"]:
        entry.pop("image_base64", None)


def keep_all(r: random.Random, d: Doc) -> None:
    """Make all images valid, whatever was drawn."""
    for entry in d["image_info"]:
        entry["image_base64"] = r.choice(_choices()[0])


def lower(r: random.Random, d: Doc) -> None:
    d["similarity_matrix"] = [[v - 2 for v in row] for row in d["similarity_matrix"]]


def edited(edit: Edit) -> Maker:
    def make(r: random.Random) -> bytes:
        d = base(r)
        edit(r, d)
        return dump(r, d)

    return make


def recoded(recode: Recode) -> Maker:
    def make(r: random.Random) -> bytes:
        return recode(r, dump(r, base(r)))

    return make


def valued(value: object) -> Maker:
    return lambda r: dump(r, value)


# JSON ---------------------------------------------------------------------------------------------


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _encoded(codec: str, mark: bytes = b"") -> Recode:
    return lambda r, raw: mark + _text(raw).encode(codec, "surrogatepass")


def _with_member(r: random.Random, raw: bytes, member: bytes, first: bool | None = None) -> bytes:
    """Give the object one more member, before or after the others."""
    at_start = r.random() < 0.5 if first is None else first
    body = raw.strip()[1:-1]
    return b"{" + (member + b"," + body if at_start else body + b"," + member) + b"}"


def _twice(name: str, value: object, last: bool) -> Recode:
    member = json.dumps({name: value}).encode()[1:-1]
    return lambda r, raw: _with_member(r, raw, member, first=not last)


def _escaped_letters(r: random.Random, raw: bytes) -> bytes:
    """Write some letters of all names and strings as escapes: the same document."""
    letter = r.choice("aeiXb_")
    return raw.replace(letter.encode(), f"\\u{ord(letter):04x}".encode())


def _utf16_lone(r: random.Random, raw: bytes) -> bytes:
    d = base(r)
    d["text_list"][0] = "\ud83d lone"
    return json.dumps(d, ensure_ascii=False).encode("utf-16", "surrogatepass")


def _split_pair(r: random.Random, raw: bytes) -> bytes:
    """Write an emoji as two three-byte surrogates, which stay apart."""
    d = base(r)
    d["text_list"][0] = "\ud83d\ude00 split"
    return json.dumps(d, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _escaped_pair(r: random.Random, raw: bytes) -> bytes:
    """Write an emoji as two escapes, which become one character."""
    d = base(r)
    d["text_list"][0] = "\U0001f600 joined"
    return json.dumps(d).encode()


def _broken_sentence(inside: bytes) -> Recode:
    def recode(r: random.Random, raw: bytes) -> bytes:
        d = base(r)
        d["text_list"][-1] = "MARK"
        return json.dumps(d).encode().replace(b"MARK", inside)

    return recode


JSON: dict[str, Recode] = {
    "empty": lambda r, raw: b"",
    "one_byte": lambda r, raw: r.choice((b"{", b"\x00", b"\xff", b"1", b" ")),
    "two_or_three_bytes": lambda r, raw: r.choice(
        (b"{}", b"[]", b"\x00\x00", b"\xff\xfe", b"{\x00}", b"\xef\xbb\xbf")
    ),
    "white_space": lambda r, raw: b" \r\n\t ",
    "white_space_around": lambda r, raw: b" \n\r\t" + raw + b"\r\n \t",
    "other_space_around": lambda r, raw: r.choice((b"\x0b", b"\x0c", b"\xc2\xa0")) + raw,
    "truncated": lambda r, raw: raw[: r.randrange(len(raw))],
    "truncated_by_one": lambda r, raw: raw.rstrip()[:-1],
    "trailing_garbage": lambda r, raw: raw + b"x",
    "trailing_null": lambda r, raw: raw + b"\x00",
    "trailing_comma": lambda r, raw: raw.rstrip()[:-1] + b",}",
    "twice": lambda r, raw: raw + b"\n" + raw,
    "single_quotes": lambda r, raw: raw.replace(b'"', b"'"),
    "garbage": lambda r, raw: r.randbytes(200),
    "zeros": lambda r, raw: bytes(400),
    "comment": lambda r, raw: b"/* page */" + raw,
    "bad_utf8": _broken_sentence(b"caf\xe9"),
    "cut_utf8": _broken_sentence(b"\xe4\xbb"),
    "overlong_utf8": _broken_sentence(b"\xc0\xaf"),
    "raw_newline_in_string": _broken_sentence(b"a\nb"),
    "raw_null_in_string": _broken_sentence(b"a\x00b"),
    "raw_delete_in_string": _broken_sentence(b"a\x7fb"),
    "bad_escape": _broken_sentence(b"a\\xb"),
    "cut_escape": _broken_sentence(b"\\u12"),
    "escaped_null": _broken_sentence(b"a\\u0000b"),
    "all_escapes": _broken_sentence(b'\\"\\\\\\/\\b\\f\\n\\r\\t\\u003cimage\\u003e'),
    "raw_surrogate": _broken_sentence(b"\xed\xa0\x80"),
    "escaped_surrogate": _broken_sentence(b"\\ud83d"),
    "escaped_then_raw_surrogate": _broken_sentence(b"\\ud83d\xed\xb8\x80"),
    "split_pair": _split_pair,
    "escaped_pair": _escaped_pair,
    "bom": _encoded("utf-8-sig"),
    "bom_twice": _encoded("utf-8-sig", b"\xef\xbb\xbf"),
    "bom_after_space": _encoded("utf-8-sig", b" "),
    "utf16": _encoded("utf-16"),
    "utf16_le": _encoded("utf-16-le"),
    "utf16_be": _encoded("utf-16-be"),
    "utf16_be_bom": _encoded("utf-16-be", b"\xfe\xff"),
    "utf16_odd": lambda r, raw: _text(raw).encode("utf-16", "surrogatepass")[:-1],
    "utf16_lone_surrogate": _utf16_lone,
    "utf32": _encoded("utf-32"),
    "utf32_le": _encoded("utf-32-le"),
    "utf32_be": _encoded("utf-32-be"),
    "utf32_be_bom": _encoded("utf-32-be", b"\x00\x00\xfe\xff"),
    "utf7": lambda r, raw: _text(raw).encode("utf-7", "replace"),
    "latin1": lambda r, raw: _text(raw).encode("latin-1", "replace"),
    "escaped_letters": _escaped_letters,
    "deep": lambda r, raw: b"[" * 100_000,
    "deep_closed_field": lambda r, raw: _with_member(r, raw, b'"x":' + b"[" * 5000 + b"]" * 5000),
    "deep_but_readable": lambda r, raw: _with_member(r, raw, b'"x":' + b"[" * 200 + b"]" * 200),
    "integer_of_5000_digits": lambda r, raw: _with_member(r, raw, b'"x":' + b"7" * 5000),
    "integer_of_4000_digits": lambda r, raw: _with_member(r, raw, b'"x":' + b"7" * 4000),
    "nan_in_other_field": lambda r, raw: _with_member(
        r, raw, b'"x":[NaN,Infinity,-Infinity,1e999]'
    ),
    "bad_number_in_other_field": lambda r, raw: _with_member(
        r, raw, b'"x":' + r.choice((b"01", b".5", b"+1", b"nan", b"1.", b"0x1"))
    ),
    "bad_word_in_other_field": lambda r, raw: _with_member(
        r, raw, b'"x":' + r.choice((b"None", b"True", b"undefined"))
    ),
    "empty_name": lambda r, raw: _with_member(r, raw, b'"":""'),
    "long_other_field": lambda r, raw: _with_member(r, raw, b'"x":"' + b"y" * 200_000 + b'"'),
    "is_gpt_deeper": lambda r, raw: _with_member(r, raw, b'"x":{"is_gpt":true}'),
    "is_gpt_in_value": lambda r, raw: _with_member(r, raw, b'"x":"is_gpt"'),
    "is_gpt_other_case": lambda r, raw: _with_member(r, raw, b'"IS_GPT":true'),
    "is_gpt_null": lambda r, raw: _with_member(r, raw, b'"is_gpt":null'),
    "is_gpt_escaped": lambda r, raw: _with_member(r, raw, b'"is\\u005fgpt":false'),
    **{
        f"{name}_twice_{'last' if last else 'first'}_{word}": _twice(name, value, last)
        for name in ("text_list", "similarity_matrix", "image_info")
        for word, value in (("null", None), ("empty", []))
        for last in (False, True)
    },
}
TOP: dict[str, object] = {
    "null": None,
    "true": True,
    "zero": 0,
    "float": 1.5,
    "nan": math.nan,
    "string": "text_list similarity_matrix image_info",
    "string_is_gpt": "is_gpt",
    "empty_list": [],
    "list_of_names": ["text_list", "similarity_matrix", "image_info"],
    "list_is_gpt": ["is_gpt"],
    "empty_object": {},
    "only_is_gpt": {"is_gpt": True},
}
FIELDS = ("text_list", "similarity_matrix", "image_info")
WRONG: dict[str, Any] = {
    "null": None,
    "true": True,
    "int": 3,
    "float": 0.5,
    "nan": math.nan,
    "string": "a sentence",
    "empty_string": "",
    "empty_list": [],
    "dict": {"0": 1, "image_base64": "AAAA"},
    "empty_dict": {},
    "list_of_ints": [1, 2, 3, 4, 5],
    "list_of_lists": [["a"], ["b"], ["c"], ["d"], ["e"]],
    "list_of_empty_lists": [[], [], [], [], []],
    "list_of_nulls": [None, None, None, None, None],
    "list_of_strings": ["a", "b", "c", "d", "e"],
    "list_of_dicts": [{}, {}, {}, {}, {}],
}


def _wrong_field(name: str, value: object) -> Edit:
    """Set the field to a wrong kind; in a share of the documents nothing survives until its use."""

    def edit(r: random.Random, d: Doc) -> None:
        x = r.random()
        if x < 0.2:
            lose_images(r, d)
        elif x < 0.45:
            lower(r, d)
        d[name] = value

    return edit


def _absent(names: tuple[str, ...]) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        if r.random() < 0.3:
            lose_images(r, d)
        for name in names:
            del d[name]

    return edit


def _list_of_document(r: random.Random) -> bytes:
    return dump(r, [base(r)])


def _shuffled_fields(r: random.Random) -> bytes:
    items = list(base(r).items())
    r.shuffle(items)
    return dump(r, dict(items))


# image_info ---------------------------------------------------------------------------------------


def _entry(value: object) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        d["image_info"][r.randrange(len(d["image_info"]))] = value

    return edit


def _base64(change: Callable[[random.Random, str], object]) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        group = r.choice((pool().good, pool().good, pool().small))
        entry = r.choice(d["image_info"])
        entry["image_base64"] = change(r, r.choice(list(group.values())))

    return edit


def _insert(r: random.Random, text: str, inside: str) -> str:
    at = r.randrange(len(text) + 1)
    return text[:at] + inside + text[at:]


def _scattered(r: random.Random, text: str, junk: str) -> str:
    step = r.randint(50, 500)
    return "".join(text[i : i + step] + r.choice(junk) for i in range(0, len(text), step))


def _lines(r: random.Random, text: str) -> str:
    end = r.choice(("\n", "\r\n"))
    return end.join(text[i : i + 76] for i in range(0, len(text), 76)) + end


def _escaped_base64(r: random.Random, raw: bytes) -> bytes:
    """Escape the slashes of the whole document, as PHP writes them."""
    return raw.replace(b"/", b"\\/")


def _code_escaped_base64(r: random.Random, raw: bytes) -> bytes:
    letter = r.choice((b"A", b"/", b"=", b"+", b"9"))
    return (
        raw.replace(letter, b"\\u%04X" % letter[0])
        if letter != b"9"
        else raw.replace(b"A", b"\\u0041")
    )


def _extra_entries(r: random.Random, d: Doc) -> None:
    """Add images beyond the rows: valid ones, or ones that are dropped."""
    extra = r.choice((None, pool().small["jpeg_10999"], pool().good["jpeg"]))
    d["image_info"] += [_image(r, extra, []) for _ in range(r.randint(1, 3))]


def _fewer_entries(r: random.Random, d: Doc) -> None:
    del d["image_info"][r.randrange(len(d["image_info"])) :]


def _two_base64(r: random.Random, raw: bytes) -> bytes:
    """Give one entry its base64 twice: the last counts."""
    d = base(r)
    d["image_info"][0]["image_base64"] = pool().good["png"]
    text = json.dumps(d)
    other = r.choice((pool().small["empty"], pool().odd["garbage"], pool().good["jpeg"]))
    once = f'"image_base64": "{pool().good["png"]}"'
    again = f'"image_base64": "{other}"'
    pair = (once, again) if r.random() < 0.5 else (again, once)
    return text.replace(once, ", ".join(pair), 1).encode()


ENTRIES: dict[str, object] = {
    "null": None,
    "true": True,
    "int": 1,
    "float": 0.5,
    "string": "image",
    "string_with_name": "x image_base64 y",
    "list": ["image_name", "x"],
    "list_with_name": ["image_base64"],
    "empty_list": [],
    "empty_dict": {},
    "dict_with_name_in_value": {"image_name": "image_base64"},
    "dict_with_other_case": {"IMAGE_BASE64": "AAAA"},
}
BASE64: dict[str, Callable[[random.Random, str], object]] = {
    "null": lambda r, b: None,
    "true": lambda r, b: True,
    "int": lambda r, b: 12,
    "float": lambda r, b: 1.5,
    "list": lambda r, b: [b],
    "list_of_ints": lambda r, b: [255, 216],
    "dict": lambda r, b: {"$binary": b},
    "empty": lambda r, b: "",
    "one_letter": lambda r, b: "A",
    "two_letters": lambda r, b: "AA",
    "only_padding": lambda r, b: "=" * r.randint(1, 5),
    "only_junk": lambda r, b: " !?\n",
    "non_ascii": lambda r, b: _insert(r, b, "é"),
    "non_ascii_space": lambda r, b: b + "\u00a0",
    "lone_surrogate": lambda r, b: _insert(r, b, "\ud800"),
    "without_padding": lambda r, b: b.rstrip("="),
    "cut_by_one": lambda r, b: b[:-1],
    "cut_by_two": lambda r, b: b[:-2],
    "cut_by_three": lambda r, b: b[:-3],
    "cut_anywhere": lambda r, b: b[: r.randrange(len(b) + 1)],
    "one_letter_more": lambda r, b: b.rstrip("=") + "A",
    "more_after_padding": lambda r, b: b + "AAAA",
    "padding_added": lambda r, b: b + "====",
    "padding_in_front": lambda r, b: "==" + b,
    "padding_inside": lambda r, b: _insert(r, b, "="),
    "padding_pair_inside": lambda r, b: _insert(r, b, "=="),
    "two_pieces": lambda r, b: base64.b64encode(b"abcd").decode() + b,
    "letter_missing": lambda r, b: b[:500] + b[501:],
    "letter_changed": lambda r, b: b[:700] + "A" + b[701:],
    "junk": lambda r, b: _scattered(r, b, "!$%&?*~^#@.,;:(){}[]<>|'\"\\`"),
    "white_space": lambda r, b: _scattered(r, b, " \t\r\n\f\v"),
    "controls": lambda r, b: _scattered(r, b, "\x00\x01\x7f"),
    "lines": _lines,
    "url_alphabet": lambda r, b: b.replace("+", "-").replace("/", "_"),
    "data_uri": lambda r, b: "data:image/jpeg;base64," + b,
    "quoted_bytes": lambda r, b: f"b'{b}'",
    "hexadecimal": lambda r, b: base64.b64decode(b).hex(),
    "encoded_twice": lambda r, b: base64.b64encode(b.encode()).decode(),
    "lines_at_limit": lambda r, b: _lines(r, pool().good["jpeg_at_limit"]),
    "lines_below_limit": lambda r, b: _lines(r, pool().small["jpeg_10999"]),
    "junk_below_limit": lambda r, b: _scattered(r, pool().small["png_10999"], "!* "),
}

HARMLESS_BASE64 = (
    "empty",
    "only_junk",
    "padding_added",
    "padding_in_front",
    "padding_inside",
    "padding_pair_inside",
    "more_after_padding",
    "junk",
    "white_space",
    "lines",
    "lines_at_limit",
    "lines_below_limit",
    "junk_below_limit",
)

# similarity_matrix --------------------------------------------------------------------------------


def _valid_rows(d: Doc) -> list[int]:
    good = set(pool().good.values())
    return [i for i, e in enumerate(d["image_info"]) if e.get("image_base64") in good]


def _in_kept_row(value: object, cells: int = 1) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        keep_all(r, d)
        row = r.choice(d["similarity_matrix"])
        for _ in range(cells):
            row[r.randrange(len(row))] = value

    return edit


def _in_dropped_row(value: object) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        row: list[object] = [score(r) for _ in d["text_list"]]
        row[r.randrange(len(row))] = value
        at = r.randrange(len(d["image_info"]) + 1)
        content = r.choice((None, pool().small["jpeg_10999"]))
        d["image_info"].insert(at, _image(r, content, []))
        d["similarity_matrix"].insert(at, row)

    return edit


def _filled(cell: Callable[[random.Random], object], valid: bool = True) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        if valid and r.random() < 0.5:
            keep_all(r, d)
        d["similarity_matrix"] = [[cell(r) for _ in row] for row in d["similarity_matrix"]]

    return edit


def _whole(change: Callable[[random.Random, list[list[float]]], object]) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        if r.random() < 0.5:
            keep_all(r, d)
        d["similarity_matrix"] = change(r, d["similarity_matrix"])

    return edit


def _ragged_dropped(r: random.Random, d: Doc) -> None:
    _in_dropped_row(0.1)(r, d)
    lengths = [len(row) for row in d["similarity_matrix"]]
    for row, entry in zip(d["similarity_matrix"], d["image_info"], strict=True):
        if "image_base64" not in entry or entry["image_base64"] in pool().small.values():
            row[:] = r.choice(([], row[:-1], [*row, 0.3]))
            break
    else:
        raise AssertionError(lengths)


def _ragged_kept(r: random.Random, m: list[list[float]]) -> object:
    row = r.choice(m)
    row[:] = r.choice(([], row[:-1], [*row, 0.3], [*row, *row]))
    return m


def _fewer_rows(r: random.Random, m: list[list[float]]) -> object:
    return m[: r.randrange(len(m))]


def _rows_missing_for_dropped(r: random.Random, d: Doc) -> None:
    """Add images without rows that are dropped anyway: nothing is lost with their rows."""
    for _ in range(r.randint(1, 3)):
        d["image_info"].append(_image(r, None, []))


def _columns_more(r: random.Random, m: list[list[float]]) -> object:
    more = r.randint(1, 4)
    return [row + [score(r) for _ in range(more)] for row in m]


def _columns_more_strong(r: random.Random, m: list[list[float]]) -> object:
    return [[*row, 0.8] for row in m]


def _columns_more_weak(r: random.Random, m: list[list[float]]) -> object:
    return [[*row, -0.8, -0.9] for row in m]


def _columns_fewer(r: random.Random, m: list[list[float]]) -> object:
    less = r.randint(1, max(1, len(m[0]) - 1))
    return [row[:-less] for row in m]


def _infeasible_row(r: random.Random, m: list[list[float]]) -> object:
    row = r.choice(m)
    row[:] = [-math.inf] * len(row)
    return m


def _infeasible_columns(r: random.Random, m: list[list[float]]) -> object:
    """Let every image have the first sentence only."""
    return [[row[0]] + [-math.inf] * (len(row) - 1) for row in m]


def _deep(value: object, depth: int) -> object:
    for _ in range(depth):
        value = [value]
    return value


def _permutation(r: random.Random, m: list[list[float]]) -> object:
    """Make a strong diagonal in reverse: the assignment runs backwards through the page."""
    columns = len(m[0])
    return [[0.5 if j == columns - 1 - i else 0.1 for j in range(columns)] for i in range(len(m))]


MATRIX: dict[str, Edit] = {
    "ragged_kept": _whole(_ragged_kept),
    "ragged_dropped": _ragged_dropped,
    "one_empty_row": _whole(lambda r, m: [[]]),
    "empty_rows": _whole(lambda r, m: [[] for _ in m]),
    "one_dimension": _whole(lambda r, m: [row[0] for row in m]),
    "three_dimensions": _whole(lambda r, m: [[[v] for v in row] for row in m]),
    "three_dimensions_outer": _whole(lambda r, m: [m]),
    "three_dimensions_ragged": _whole(
        lambda r, m: [[[v] * r.randint(1, 2) for v in row] for row in m]
    ),
    "forty_dimensions": _whole(lambda r, m: _deep(m, 40)),
    "seventy_dimensions": _whole(lambda r, m: _deep(m, 70)),
    "transposed": _whole(lambda r, m: [list(column) for column in zip(*m, strict=True)]),
    "rows_as_dicts": _whole(lambda r, m: [{str(j): v for j, v in enumerate(row)} for row in m]),
    "rows_as_strings": _whole(lambda r, m: [str(row) for row in m]),
    "row_null": _whole(lambda r, m: [*m[:-1], None]),
    "row_number": _whole(lambda r, m: [*m[:-1], 0.3]),
    "rows_fewer": _whole(_fewer_rows),
    "rows_missing_for_dropped": _rows_missing_for_dropped,
    "rows_more": _whole(lambda r, m: m + [list(m[0]) for _ in range(r.randint(1, 3))]),
    "rows_more_ragged": _whole(lambda r, m: [*m, [0.1] * (len(m[0]) + 1)]),
    "rows_more_null": _whole(lambda r, m: [*m, [None] * len(m[0])]),
    "rows_more_boolean": _whole(lambda r, m: [*m, [True] * len(m[0])]),
    "columns_more": _whole(_columns_more),
    "columns_more_strong": _whole(_columns_more_strong),
    "columns_more_weak": _whole(_columns_more_weak),
    "columns_fewer": _whole(_columns_fewer),
    "integers": _filled(lambda r: r.randint(-1, 2)),
    "zeros_and_ones": _filled(lambda r: r.randrange(2)),
    "large_integers": _filled(lambda r: r.randint(20, 40)),
    "integers_and_floats": _filled(lambda r: r.choice((0, 1, 0.5, 0.24))),
    "booleans": _filled(lambda r: r.random() < 0.5),
    "booleans_and_floats": _filled(lambda r: r.choice((True, False, 0.24, 0.5))),
    "booleans_and_integers": _filled(lambda r: r.choice((True, False, 1, 0, 2))),
    "boolean_in_kept_row": _in_kept_row(True),
    "boolean_in_dropped_row": _in_dropped_row(True),
    "strings": _filled(lambda r: r.choice(("high", "low"))),
    "numeric_strings": _filled(lambda r: str(score(r))),
    "string_in_kept_row": _in_kept_row("0.3"),
    "string_in_dropped_row": _in_dropped_row("0.3"),
    "null_in_kept_row": _in_kept_row(None),
    "null_in_dropped_row": _in_dropped_row(None),
    "list_in_kept_row": _in_kept_row([0.3]),
    "list_in_dropped_row": _in_dropped_row([]),
    "dict_in_kept_row": _in_kept_row({}),
    "beyond_64_bits": _filled(lambda r: r.randint(2**64, 2**66)),
    "beyond_64_bits_in_kept_row": _in_kept_row(2**64),
    "beyond_64_bits_in_dropped_row": _in_dropped_row(2**70),
    "beyond_64_bits_negative": _in_kept_row(-(2**63) - 1),
    "beyond_doubles": _in_kept_row(10**400),
    "unsigned": _filled(lambda r: r.randint(2**63, 2**64 - 1)),
    "unsigned_ties": _filled(lambda r: 2**63 + r.randrange(3)),
    "unsigned_and_small": _filled(lambda r: r.choice((2**63, 2**64 - 1, 0, 1, 7))),
    "unsigned_and_negative": _filled(lambda r: r.choice((2**63, -1, 5))),
    "unsigned_in_kept_row": _in_kept_row(2**63),
    "unsigned_in_dropped_row": _in_dropped_row(2**64 - 1),
    "signed_limits": _filled(lambda r: r.choice((2**63 - 1, -(2**63), 0, -1))),
    "beyond_53_bits": _filled(lambda r: 2**53 + r.randrange(4)),
    "nan_in_kept_row": _in_kept_row(math.nan),
    "nan_in_dropped_row": _in_dropped_row(math.nan),
    "nan_everywhere": _filled(lambda r: math.nan),
    "plus_infinity_in_kept_row": _in_kept_row(math.inf),
    "plus_infinity_in_dropped_row": _in_dropped_row(math.inf),
    "minus_infinity_in_kept_row": _in_kept_row(-math.inf),
    "minus_infinity_often": _in_kept_row(-math.inf, cells=3),
    "minus_infinity_random": _filled(lambda r: r.choice((-math.inf, 0.3, 0.2, 0.5))),
    "minus_infinity_in_dropped_row": _in_dropped_row(-math.inf),
    "minus_infinity_row": _whole(_infeasible_row),
    "minus_infinity_columns": _whole(_infeasible_columns),
    "minus_infinity_everywhere": _filled(lambda r: -math.inf),
    "both_infinities": _filled(lambda r: r.choice((-math.inf, math.inf, 0.3))),
    "overflowing_literal": _in_kept_row(float("1e999")),
    "largest_doubles": _filled(lambda r: r.choice((1.7e308, -1.7e308, 1e308))),
    "smallest_doubles": _filled(lambda r: r.choice((5e-324, 1e-310, -5e-324, 0.0))),
    "wide_range": _filled(lambda r: r.choice((1e17, 1.0, 0.25, -1e17, 1e-17))),
    "minus_zero": _filled(lambda r: r.choice((0.0, -0.0))),
    "all_equal": _filled(lambda r: 0.25),
    "all_zero": _filled(lambda r: 0),
    "all_negative": _filled(lambda r: -abs(score(r))),
    "beside_thresholds": _filled(
        lambda r: r.choice((math.nextafter, lambda t, _: t))(r.choice(THRESHOLDS), r.choice((0, 1)))
    ),
    "single_threshold": _filled(lambda r: _as_single(r.choice(THRESHOLDS))),
    "hundredfold": _filled(lambda r: r.choice((30, 30.0, 29.999999999999996, 24.5, 31.25))),
    "backwards": _whole(_permutation),
}


# text_list ----------------------------------------------------------------------------------------


def _sentence(value: Callable[[random.Random], object]) -> Edit:
    """Put the value into one or more sentences, kept (a strong pair) or not (a weak one)."""

    def edit(r: random.Random, d: Doc) -> None:
        sentences, similarity = d["text_list"], d["similarity_matrix"]
        for _ in range(r.choice((1, 1, 2, 3))):
            j = r.choice((0, len(sentences) - 1, r.randrange(len(sentences))))
            sentences[j] = value(r)
            strength = r.choice((None, 0.6, -0.6))
            for row in similarity:
                row[j] = row[j] if strength is None else row[j] + strength

    return edit


def _kept_text(value: object) -> Edit:
    """Make the value a sentence that is certainly kept wherever an image is."""

    def edit(r: random.Random, d: Doc) -> None:
        keep_all(r, d)
        j = r.randrange(len(d["text_list"]))
        d["text_list"][j] = value
        d["similarity_matrix"][r.randrange(len(d["similarity_matrix"]))][j] = 5.0

    return edit


def _unkept_text(value: object) -> Edit:
    """Make the value a sentence of no image: its column is one that none takes, or it has none."""

    def edit(r: random.Random, d: Doc) -> None:
        if r.random() < 0.5:
            for row in d["similarity_matrix"]:
                row.append(-3.0)
            d["text_list"] += ["spare", "spare"][: r.randrange(2)]
        d["text_list"].append(value)

    return edit


def _whole_text(change: Callable[[random.Random, list[Any]], object]) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        d["text_list"] = change(r, d["text_list"])

    return edit


TEXT_LIST: dict[str, Edit] = {
    "sentences_more": _whole_text(
        lambda r, t: t + [words(r, 1, 5) for _ in range(r.randint(1, 5))]
    ),
    "sentences_fewer": _whole_text(lambda r, t: t[: r.randrange(len(t))]),
    "sentences_fewer_by_one": _whole_text(lambda r, t: t[:-1]),
    "all_empty": _whole_text(lambda r, t: ["" for _ in t]),
    "all_spaces": _whole_text(lambda r, t: [r.choice((" ", "  ", "")) for _ in t]),
    "all_equal": _whole_text(lambda r, t: [t[0]] * len(t)),
    "all_fragments": _whole_text(lambda r, t: [_fragments(r) for _ in t]),
    "all_spaces_and_images": _whole_text(
        lambda r, t: [r.choice((" ", "", "<image>", " <image> ")) for _ in t]
    ),
    "all_any_kind": _whole_text(lambda r, t: [r.choice(list(TEXTS.values()))(r) for _ in t]),
    "nested": _whole_text(lambda r, t: [t]),
    "joined": _whole_text(lambda r, t: " ".join(t)),
    "numbers": _whole_text(lambda r, t: list(range(len(t)))),
    "numbered": _whole_text(lambda r, t: {str(i): s for i, s in enumerate(t)}),
}

# stored matches -----------------------------------------------------------------------------------

STORED_INDEX: dict[str, object] = {
    "null": None,
    "true": True,
    "float": 1.0,
    "fraction": 0.5,
    "nan": math.nan,
    "string": "1",
    "negative": -1,
    "out_of_range": 1000,
    "huge": 10**30,
    "list": [0],
    "dict": {},
}
STORED_SIM: dict[str, object] = {
    "null": None,
    "true": True,
    "int": 1,
    "string": "0.3",
    "nan": math.nan,
    "plus_infinity": math.inf,
    "minus_infinity": -math.inf,
    "huge_int": 10**400,
    "list": [0.3],
}


def _stored(name: str, value: object) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        for entry in r.sample(d["image_info"], k=r.randint(1, len(d["image_info"]))):
            entry[name] = value

    return edit


def _stored_absent(r: random.Random, d: Doc) -> None:
    for entry in d["image_info"]:
        for name in ("matched_text_index", "matched_sim"):
            if r.random() < 0.6:
                del entry[name]


# written by ChatGPT -------------------------------------------------------------------------------


def mark(k: object) -> str:
    return f"_!_IMAGE{k}_!_"


def gpt(r: random.Random, count: int | None = None) -> Doc:
    """Draw a well-formed ChatGPT-generated document: marks in order, one per image."""
    n = r.randint(1, 8) if count is None else count
    parts = [words(r, 0, 12)]
    for k in range(1, n + 1):
        parts += [mark(k), words(r, 1, 25)]
    contents = [*pool().good.values(), *pool().small.values()]
    readable = [c for c in contents if c not in (pool().small[k] for k in UNREADABLE_SMALL)]
    return {
        "is_gpt": r.choice((True, False, None, 1)),
        "example": r.choice((" ", "", "\n")).join(parts),
        "image_map": {mark(k): {"base64_image": r.choice(readable)} for k in range(1, n + 1)},
    }


UNREADABLE_SMALL = (
    "jpeg_truncated_small",
    "png_truncated_small",
    "garbage_small",
    "garbage_10999",
    "three_bytes",
    "empty",
)


def gpt_edited(edit: Edit) -> Maker:
    def make(r: random.Random) -> bytes:
        d = gpt(r)
        edit(r, d)
        return dump(r, d)

    return make


def _put(name: str, value: Callable[[random.Random, Any], object]) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        d[name] = value(r, d[name])

    return edit


def _without(name: str) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        del d[name]

    return edit


def _map_entry(value: Callable[[random.Random], object]) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        d["image_map"][r.choice(list(d["image_map"]))] = value(r)

    return edit


def _gap(r: random.Random, m: Doc) -> Doc:
    del m[r.choice(list(m))]
    return m


def _shuffled_map(r: random.Random, m: Doc) -> Doc:
    items = list(m.items())
    r.shuffle(items)
    return dict(items)


def _shuffled_marks(r: random.Random, text: str) -> str:
    order = list(range(1, 10))
    r.shuffle(order)
    for k, other in enumerate(order, start=1):
        text = text.replace(mark(k), mark(f"-{other}"))
    return text.replace("IMAGE-", "IMAGE")


def _more_marks(r: random.Random, text: str) -> str:
    return text + "".join(
        f" {mark(r.randint(1, 12))} {words(r, 1, 3)}" for _ in range(r.randint(1, 9))
    )


def _few_marks(r: random.Random, text: str) -> str:
    for k in range(r.randint(1, 3), 12):
        text = text.replace(mark(k), "")
    return text


def _inserted(*pieces: str) -> Edit:
    return _put(
        "example", lambda r, t: _insert(r, _insert(r, t, r.choice(pieces)), r.choice(pieces))
    )


GPT: dict[str, Edit] = {
    "plain": lambda r, d: None,
    "with_mmc4_fields": lambda r, d: d.update(base(r)),
    "without_example": _without("example"),
    "without_map": _without("image_map"),
    "map_empty": _put("image_map", lambda r, m: {}),
    "map_null": _put("image_map", lambda r, m: None),
    "map_list": _put("image_map", lambda r, m: list(m.values())),
    "map_empty_list": _put("image_map", lambda r, m: []),
    "map_string": _put("image_map", lambda r, m: mark(1)),
    "map_empty_string": _put("image_map", lambda r, m: ""),
    "map_number": _put("image_map", lambda r, m: 2),
    "map_gap": _put("image_map", _gap),
    "map_from_zero": _put("image_map", lambda r, m: {mark(k): v for k, v in enumerate(m.values())}),
    "map_other_keys": _put(
        "image_map", lambda r, m: {str(k): v for k, v in enumerate(m.values(), 1)}
    ),
    "map_padded_keys": _put(
        "image_map", lambda r, m: {mark(f"{k:02}"): v for k, v in enumerate(m.values(), 1)}
    ),
    "map_shuffled": _put("image_map", _shuffled_map),
    "map_more_than_marks": _put("example", _few_marks),
    "map_entry_null": _map_entry(lambda r: None),
    "map_entry_string": _map_entry(lambda r: pool().good["jpeg"]),
    "map_entry_list": _map_entry(lambda r: [pool().good["jpeg"]]),
    "map_entry_empty": _map_entry(lambda r: {}),
    "map_entry_other_field": _map_entry(lambda r: {"image_base64": pool().good["jpeg"]}),
    "map_entry_more_fields": _map_entry(lambda r: {"x": [1], "base64_image": pool().good["jpeg"]}),
    "image_null": _map_entry(lambda r: {"base64_image": None}),
    "image_number": _map_entry(lambda r: {"base64_image": 5}),
    "image_empty": _map_entry(lambda r: {"base64_image": ""}),
    "image_non_ascii": _map_entry(lambda r: {"base64_image": "é" + pool().good["jpeg"]}),
    "image_bad_padding": _map_entry(lambda r: {"base64_image": pool().good["jpeg"][:-3]}),
    "image_lines": _map_entry(lambda r: {"base64_image": _lines(r, pool().good["png"])}),
    "image_small": _map_entry(lambda r: {"base64_image": pool().small["png_small"]}),
    "image_small_broken": _map_entry(
        lambda r: {"base64_image": pool().small[r.choice(UNREADABLE_SMALL)]}
    ),
    "image_odd": _map_entry(lambda r: {"base64_image": r.choice(_choices()[2])}),
    "example_null": _put("example", lambda r, t: None),
    "example_number": _put("example", lambda r, t: 3),
    "example_list": _put("example", lambda r, t: [t]),
    "example_dict": _put("example", lambda r, t: {"text": t}),
    "example_empty": _put("example", lambda r, t: ""),
    "example_without_marks": _put("example", lambda r, t: words(r, 1, 30)),
    "example_one_mark": _put("example", lambda r, t: words(r, 1, 9) + mark(1) + words(r, 0, 2)),
    "example_only_marks": _put(
        "example", lambda r, t: "".join(mark(k) for k in range(1, r.randint(2, 14)))
    ),
    "example_long": _put("example", lambda r, t: words(r, 150, 300) + t),
    "example_surrogate": _put("example", lambda r, t: _insert(r, t, "\udc80")),
    "marks_shuffled": _put("example", _shuffled_marks),
    "marks_repeated": _put("example", lambda r, t: t + " " + t),
    "marks_more": _put("example", _more_marks),
    "marks_large": _put("example", lambda r, t: t + mark(10**18) + mark("007") + mark(99)),
    "marks_very_long": _put("example", lambda r, t: t + mark("9" * 5000)),
    "marks_unicode": _put(
        "example", lambda r, t: t.replace(mark(1), mark("١")).replace(mark(2), mark("２٣"))
    ),
    "marks_superscript": _put("example", lambda r, t: t.replace(mark(1), mark("²")) + mark("Ⅳ")),
    "marks_damaged": _put(
        "example", lambda r, t: t + "_!_IMAGE_!_ _!_image1_!_ _!_IMAGE 1_!_ _!_IMAGE1_!"
    ),
    "marks_touching": _put("example", lambda r, t: t.replace(" ", "") + "_!_IMAGE1_!_IMAGE2_!_"),
    "marks_spaced": _put("example", lambda r, t: re.sub(r"(_!_IMAGE\d+_!_)", r"  \1  ", t)),
    "literal_image": _inserted("<image>", " <image> ", "<image>  "),
    "literal_chunk": _inserted("<|endofchunk|>", " <|endofchunk|> ", "<im<|endofchunk|>age>"),
    "literal_special": _inserted(*SPECIALS),
    "literal_many_images": _put("example", lambda r, t: "<image>" * r.randint(5, 9) + t),
    "fragments": _put("example", lambda r, t: t.join(_fragments(r) for _ in range(3))),
    "hostile": _put("example", lambda r, t: TEXTS["hostile_all"](r) + t),
    "any_text": _put("example", lambda r, t: t + r.choice(list(TEXTS.values()))(r)),
}


# the table ----------------------------------------------------------------------------------------


def _with_image(content: str) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        r.choice(d["image_info"])["image_base64"] = content

    return edit


def _all_images(content: str) -> Edit:
    def edit(r: random.Random, d: Doc) -> None:
        for entry in d["image_info"]:
            entry["image_base64"] = content

    return edit


def _mixed(r: random.Random, d: Doc) -> None:
    """Make several things unusual at once."""
    if r.random() < 0.8:
        _sentence(r.choice(list(TEXTS.values())))(r, d)
    if r.random() < 0.5:
        _sentence(r.choice(list(TEXTS.values())))(r, d)
    if r.random() < 0.4:
        r.choice(_stored_edits())(r, d)
    if r.random() < 0.5:
        change = r.choice([v for k, v in BASE64.items() if k in HARMLESS_BASE64])
        _base64(change)(r, d)
    if r.random() < 0.5:
        r.choice(list(MATRIX.values()))(r, d)


def _stored_edits() -> list[Edit]:
    edits = [_stored("matched_text_index", value) for value in STORED_INDEX.values()]
    return edits + [_stored("matched_sim", value) for value in STORED_SIM.values()]


def _without_json(r: random.Random) -> None:
    return None


def _no_images(r: random.Random) -> bytes:
    d = base(r)
    d["image_info"], d["similarity_matrix"] = [], []
    return dump(r, d)


def _nasty() -> dict[str, Maker]:
    p = pool()
    fields = {f"{f}_is_{k}": edited(_wrong_field(f, v)) for f in FIELDS for k, v in WRONG.items()}
    images = {k: v for group in (p.good, p.odd, p.small) for k, v in group.items()}
    return {
        "no_json": _without_json,
        "no_images": _no_images,
        "all_images_missing": edited(lose_images),
        "all_images_small": edited(_all_images(p.small["jpeg_10999"])),
        "all_images_at_limit": edited(_all_images(p.good["jpeg_at_limit"])),
        "all_images_empty": edited(_all_images("")),
        "all_scores_low": edited(lower),
        "mixed": edited(_mixed),
        "list_of_document": _list_of_document,
        "fields_shuffled": _shuffled_fields,
        **{f"json_{k}": recoded(v) for k, v in JSON.items()},
        **{f"top_{k}": valued(v) for k, v in TOP.items()},
        **{f"absent_{f}": edited(_absent((f,))) for f in FIELDS},
        "absent_all": edited(_absent(FIELDS)),
        **fields,
        **{f"entry_is_{k}": edited(_entry(v)) for k, v in ENTRIES.items()},
        "entries_more": edited(_extra_entries),
        "entries_fewer": edited(_fewer_entries),
        "entry_base64_twice": recoded(_two_base64),
        "base64_slashes_escaped": recoded(_escaped_base64),
        "base64_letters_escaped": recoded(_code_escaped_base64),
        **{f"base64_{k}": edited(_base64(v)) for k, v in BASE64.items()},
        **{f"image_{k}": edited(_with_image(v)) for k, v in images.items()},
        **{f"matrix_{k}": edited(v) for k, v in MATRIX.items()},
        **{f"text_{k}": edited(_sentence(v)) for k, v in TEXTS.items()},
        **{f"surrogate_{k}": edited(_sentence(v)) for k, v in SURROGATES.items()},
        **{
            f"surrogate_{k}_kept": edited(_kept_text(v(random.Random(1))))
            for k, v in SURROGATES.items()
        },
        **{f"sentence_{k}_kept": edited(_kept_text(v)) for k, v in NOT_TEXT.items()},
        **{f"sentence_{k}_not_kept": edited(_unkept_text(v)) for k, v in NOT_TEXT.items()},
        **{f"text_list_{k}": edited(v) for k, v in TEXT_LIST.items()},
        **{
            f"stored_index_{k}": edited(_stored("matched_text_index", v))
            for k, v in STORED_INDEX.items()
        },
        **{f"stored_sim_{k}": edited(_stored("matched_sim", v)) for k, v in STORED_SIM.items()},
        "stored_absent": edited(_stored_absent),
        **{f"gpt_{k}": gpt_edited(v) for k, v in GPT.items()},
    }


OFTEN = {
    "mixed": 20,
    "text_fragments_more": 8,
    "text_list_all_fragments": 15,
    "text_list_all_any_kind": 15,
    "text_list_all_spaces_and_images": 8,
    "text_any_characters": 4,
    "text_latin_any_characters": 4,
    "text_combining_at_start": 4,
    "text_jamo": 4,
    "gpt_plain": 4,
    "gpt_fragments": 8,
    "gpt_any_text": 8,
    "gpt_image_odd": 4,
    "matrix_minus_infinity_random": 4,
    "matrix_booleans_and_floats": 3,
    "matrix_transposed": 3,
    "json_truncated": 4,
    "base64_letter_changed": 3,
    "base64_padding_inside": 4,
    "base64_padding_pair_inside": 4,
}


@cache
def nasty() -> dict[str, Maker]:
    """Return every malformed or unusual kind, by name."""
    return _nasty()


def _turn() -> list[str]:
    return [name for name in nasty() for _ in range(OFTEN.get(name, 1))]


def every_kind(seed: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield as many of `documents` as it takes to have every kind."""
    return documents(seed, 2 * len(_turn()))


def documents(seed: int, n: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield unique keys with JSON bytes, or None for a sample without a json member.

    Every second document is malformed; the kinds come in shuffled rounds, each once per round,
    those of `OFTEN` more often. The same seed gives the same documents under the same versions.
    """
    r = random.Random(seed)
    makers = [(name, maker) for name, (maker, _) in ORDINARY.items()]
    weights = [weight for _, weight in ORDINARY.values()]
    kinds = _turn()
    turn: list[str] = []
    for i in range(n):
        if i % 2:
            if not turn:
                turn = r.sample(kinds, k=len(kinds))
            name = turn.pop()
            maker = nasty()[name]
        else:
            name, maker = r.choices(makers, weights)[0]
        yield f"{i:06d}-{name}", maker(r)


def huge_image_document() -> bytes:
    """Make a document with an image above Pillow's own pixel limit and below the loader's.

    Decoding that image takes about a gigabyte, so it is not among the others.
    """
    content = base64.b64encode(_padded(png_of_zeros(14_000, 13_000), 60_000)).decode()
    r = random.Random(0)
    return dump(
        r, mmc4(r, [content, pool().good["jpeg"]], ["one sentence", "another"], "times_hundred")
    )


# -------------------------------------------------------------------------------------------- files


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_tar(
    path: str | Path, docs: Iterable[tuple[str, bytes | None]], quirks: random.Random | None = None
) -> None:
    """Write a WebDataset tar; with `quirks`, its members are laid out in every possible way.

    A repeated json member begins a second sample with the same key: with quirks there can be more
    samples than documents, and documents whose JSON has another suffix.
    """
    with tarfile.open(path, "w") as tar:
        for key, raw in docs:
            if raw is None:
                _add(tar, f"{key}.txt", b"no json here")
            elif quirks is None:
                _add(tar, f"{key}.json", raw)
            else:
                _add_with_quirks(tar, key, raw, quirks)


def _add_with_quirks(tar: tarfile.TarFile, key: str, raw: bytes, r: random.Random) -> None:
    name = f"{key}.json"
    match r.randrange(14):
        case 0:
            _add(tar, f"{key}.JSON", raw)
        case 1:
            _add(tar, f"{key}.txt", b"beside")
            _add(tar, name, raw)
        case 2:
            _add(tar, name, raw)
            _add(tar, f"{key}.cls", b"1")
        case 3:
            _add(tar, f"some/dir.with.dots/{name}", raw)
        case 4:
            _add(tar, f"{key}.meta.json", b"{}")
            _add(tar, name, raw)
        case 5:
            _add(tar, f"{key}.meta.json", raw)
        case 6:
            _add(tar, name, raw)
            _add(tar, f"__{key}__", b"passed over")
            _add(tar, f"__meta__/{name}", b"{}")
        case 7:
            _add(tar, name, raw)
            _add(tar, name, raw)
        case 8:
            directory = tarfile.TarInfo(f"{key}.d")
            directory.type = tarfile.DIRTYPE
            tar.addfile(directory)
            _add(tar, name, raw)
        case 9:
            link = tarfile.TarInfo(f"{key}.link")
            link.type, link.linkname = tarfile.SYMTYPE, "elsewhere.json"
            tar.addfile(link)
            _add(tar, name, raw)
        case 10:
            _add(tar, f"no_dot_{key}", b"passed over")
            _add(tar, name, raw)
        case 11:
            _add(tar, f"./{name}", raw)
        case _:
            _add(tar, name, raw)


def fits_a_line(raw: bytes | None) -> bool:
    """Tell whether a document can be a line of a .jsonl as it is."""
    return (
        raw is not None and bool(raw.strip()) and not any(c in raw for c in (b"\n", b"\r", b"\0"))
    )


def write_jsonl(path: str | Path, docs: Iterable[tuple[str, bytes | None]]) -> list[str]:
    """Write the documents that fit a line, one a line, and return their keys in order."""
    keys = []
    with open(path, "wb") as out:
        for key, raw in docs:
            if raw is not None and fits_a_line(raw):
                out.write(raw + b"\n")
                keys.append(key)
    return keys
