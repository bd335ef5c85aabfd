"""What an index can record of a document beyond what the loader looks at.

The language of its text and the script that it is written in, and a perceptual hash of each image.
Two packages of the extra ``describe`` do the work, offline: py3langid, whose model is part of it,
and ImageHash.
"""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from enum import StrEnum
from functools import lru_cache
from importlib.util import find_spec
from typing import Final

from mmc4viz.loader.images import has_draft, is_too_large, open_image
from mmc4viz.loader.sequence import MARK
from mmc4viz.types import ConfigError, Document


class Description(StrEnum):
    """What is recorded only if it is asked for."""

    LANGUAGE = "language"  # of each document, with its script
    IMAGE_HASH = "image-hash"  # a perceptual hash of each image


NOTHING: Final = frozenset[Description]()
_PACKAGES: Final = {Description.LANGUAGE: "py3langid", Description.IMAGE_HASH: "imagehash"}
_SIDE: Final = 256  # pixels; a larger JPEG is decoded to about this, which changes a bit at times
_MOST_CHARACTERS: Final = 2_000  # of a document's text, from which its language is told


def descriptions(text: str | None) -> frozenset[Description]:
    """Return what a comma-separated list of words asks for.

    Raises
    ------
    ConfigError
        For an unknown word, or when the package that does it is not installed.

    Examples
    --------
    >>> sorted(map(str, descriptions("language,image-hash")))
    ['image-hash', 'language']
    >>> descriptions("colour")
    Traceback (most recent call last):
    ...
    mmc4viz.types.ConfigError: --describe takes language and image-hash, not 'colour'
    """
    if text is None:
        return NOTHING
    words, known = [word.strip() for word in text.split(",")], list(map(str, Description))
    for word in words:
        if word not in known:
            raise ConfigError(f"--describe takes {' and '.join(known)}, not {word[:50]!r}")
        if find_spec(package := _PACKAGES[Description(word)]) is None:
            raise ConfigError(f"--describe {word} needs {package}: pip install 'mmc4viz[describe]'")
    return frozenset(map(Description, words))


def language_of(document: Document) -> tuple[str, str]:
    """Return the language and the script of a document's text.

    Returns
    -------
    language : str
        As ISO 639-1 code, the most likely one by py3langid from the first 2,000 characters; empty
        for a text without letters.
    script : str
        That of most of its letters, as in their Unicode names (``Latin``, ``CJK``); empty likewise.

    Examples
    --------
    >>> language_of(Document("a", sentences=["Die Katze schläft auf dem Sofa.", None]))
    ('de', 'Latin')
    >>> language_of(Document("a", sentences=["1, 2"]))
    ('', '')
    """
    text = _text_of(document)[:_MOST_CHARACTERS]
    script = script_of(text)
    if not script:
        return "", ""
    from py3langid import classify  # loads its model at the first call

    return str(classify(text)[0]), script


def _text_of(document: Document) -> str:
    if isinstance(document.example, str):
        return MARK.sub(" ", document.example)
    sentences = document.sentences if isinstance(document.sentences, list) else []
    return " ".join(text for text in sentences if isinstance(text, str))


def script_of(text: str) -> str:
    """Return the script of most of a text's letters; the first one in the alphabet if several.

    Examples
    --------
    >>> script_of("кот and кошка"), script_of("猫在睡觉"), script_of("ｗｉｄｅ"), script_of("1, 2")
    ('Cyrillic', 'CJK', 'Latin', '')
    """
    scripts: Counter[str] = Counter()
    for character, n in Counter(text).items():
        scripts[_script(character)] += n
    scripts.pop("", None)
    return min(scripts, key=lambda name: (-scripts[name], name), default="")


@lru_cache(maxsize=100_000)
def _script(character: str) -> str:
    """Return the script of a letter, which is the first word of its name; else nothing."""
    if not character.isalpha():
        return ""
    plain = unicodedata.normalize("NFKC", character)[0]  # of wide and mathematical letters
    word = unicodedata.name(plain, "").partition(" ")[0]
    return word if word == "CJK" else word.capitalize()


def perceptual_hash(data: bytes) -> int | None:
    """Return the 64-bit pHash of an image, by ImageHash's ``phash``.

    A JPEG of more than 512 pixels is decoded at a half, a quarter or an eighth of its size, which
    takes a third of the time and changes at most 2 of the 64 bits (as measured on pictures with the
    spectrum of photographs).

    Returns
    -------
    int or None
        None for an image that does not decode, is too large to (`is_too_large`), or has one color
        only, and with it nothing to compare.
    """
    from imagehash import phash

    try:
        with open_image(io.BytesIO(data)) as image:
            if is_too_large(image.format or "", *image.size):
                return None
            if has_draft(image, data):
                image.draft("L", (_SIDE, _SIDE))
            found = int(str(phash(image)), 16)
    except (MemoryError, ConfigError):
        raise
    except Exception:  # that it does not decode is told by the check of the image
        return None
    return found if found.bit_count() > 1 else None  # of one color, only the mean is above
