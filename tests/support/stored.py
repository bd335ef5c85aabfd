"""Documents for loaders that take the stored matches: sound ones, and ones with one or two faults.

Every second document has faults in what such loaders read: stored sentences and scores, sentences
that hold image tokens, images that are missing or broken, matrices of another length.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.support import nasty

Doc = dict[str, Any]
Fault = Callable[[random.Random, Doc], None]

LITERALS = (
    "<image>", "<|image|>", "<|beginofimage|>", "<im_start>", "<im_end>", "<im_patch>",
    "<dream_start>", "<PAD>", "[PAD]", "<|endofchunk|>", "<|endoftext|>", "<IMAGE>",
)  # fmt: skip
INDICES = (None, -1, -2, -40, 0, True, False, 1.0, "1", [1], 10**30, 99, math.nan)
SCORES = (None, "0.3", math.nan, math.inf, -math.inf, True, 10**400, -(10**400), [0.3], 0.24)
TEXTS = (None, "abc", "", {}, {"a": "b", " c ": 1}, [], 7, "a <image> b")
NOT_SENTENCES = (None, 7, ["a"], {"a": 1}, math.nan)


def _some(r: random.Random, document: Doc) -> Doc:
    found: Doc = r.choice(document["image_info"])
    return found


def _stored(name: str, values: tuple[Any, ...]) -> Fault:
    def fault(r: random.Random, document: Doc) -> None:
        _some(r, document)[name] = r.choice(values)

    return fault


def _absent(name: str) -> Fault:
    return lambda r, document: _some(r, document).pop(name, None)


def _image(group: str) -> Fault:
    def fault(r: random.Random, document: Doc) -> None:
        _some(r, document)["image_base64"] = r.choice(list(getattr(nasty.pool(), group).values()))

    return fault


def _bad_base64(r: random.Random, document: Doc) -> None:
    _some(r, document)["image_base64"] = r.choice(("abc", None, 7, "é", "b'YWJj'"))


def _literals(r: random.Random, document: Doc) -> None:
    for _ in range(r.randint(1, 4)):
        at = r.randrange(len(document["text_list"]))
        text, token = document["text_list"][at], r.choice(LITERALS)
        spaced = r.choice(("", " ", "  ")) + token + r.choice(("", " ", "  "))
        place = r.choice((0, len(text), r.randint(0, len(text))))
        document["text_list"][at] = text[:place] + spaced + text[place:]


def _spaces(r: random.Random, document: Doc) -> None:
    for at in range(len(document["text_list"])):
        text = r.choice((document["text_list"][at], "", " ", "\n"))
        ends = ("", "", " ", "  ", "\n", "\u3000", "\u200b")
        document["text_list"][at] = r.choice(ends) + text + r.choice(ends)


def _sentence(values: tuple[Any, ...]) -> Fault:
    def fault(r: random.Random, document: Doc) -> None:
        document["text_list"][r.randrange(len(document["text_list"]))] = r.choice(values)

    return fault


def _field(name: str, values: tuple[Any, ...]) -> Fault:
    def fault(r: random.Random, document: Doc) -> None:
        document[name] = r.choice(values)

    return fault


def _rows(r: random.Random, document: Doc) -> None:
    rows = document["similarity_matrix"]
    changes = (rows[:-1], [*rows, rows[0]], rows[: len(rows) // 2], [[], *rows[1:]], [None] * 3)
    document["similarity_matrix"] = r.choice(changes)


def _long(r: random.Random, document: Doc) -> None:
    """Fill a sentence so that a limit of 64, 2,048 or 4,096 tokens falls near an image."""
    limit = r.choice((64, 2048, 2048 - 324, 2048 - 648, 4096))
    at = r.randrange(len(document["text_list"]))
    document["text_list"][at] = " ".join(["the"] * max(1, limit - r.randint(0, 12)))


FAULTS: dict[str, tuple[Fault, int]] = {
    "index": (_stored("matched_text_index", INDICES), 4),
    "no_index": (_absent("matched_text_index"), 1),
    "score": (_stored("matched_sim", SCORES), 3),
    "no_score": (_absent("matched_sim"), 1),
    "missing": (_absent("image_base64"), 3),
    "odd_image": (_image("odd"), 5),
    "small_image": (_image("small"), 3),
    "base64": (_bad_base64, 1),
    "literals": (_literals, 5),
    "spaces": (_spaces, 3),
    "surrogate": (_sentence(("a \ud800 b",)), 1),
    "not_a_sentence": (_sentence(NOT_SENTENCES), 1),
    "text_list": (_field("text_list", TEXTS), 1),
    "matrix": (_field("similarity_matrix", (None, 7, [], "ab", {"0": [1]})), 1),
    "rows": (_rows, 2),
    "long": (_long, 3),
    "no_matrix": (lambda r, document: document.pop("similarity_matrix"), 1),
    "is_gpt": (_field("is_gpt", (True, False)), 1),
}


def _sound(r: random.Random) -> Doc:
    """Make a document whose images are all there, in any order, several to a sentence or not."""
    n_images = r.choices((1, 2, 3, 4, 6, 7, 8, 9), (3, 4, 4, 3, 3, 2, 2, 1))[0]
    n_sentences = r.choice((1, 2, n_images, 2 * n_images, 12))
    sentences = [nasty.words(r, 1, 12) for _ in range(n_sentences)]
    good = list(nasty.pool().good.values())
    document = nasty.mmc4(r, [r.choice(good) for _ in range(n_images)], sentences, "double")
    at = [r.randrange(n_sentences) for _ in range(n_images)]
    style = r.randrange(4)
    for number, (image, sentence) in enumerate(zip(document["image_info"], at, strict=True)):
        image["matched_text_index"] = (sentence, sorted(at)[number], at[0], sentence)[style]
        image["matched_sim"] = r.choice((r.uniform(0.15, 0.4), 0.24, 0.3, 0.35))
    return document


def documents(seed: int, n: int) -> Iterator[tuple[str, bytes]]:
    """Yield n keys and documents; the same seed gives the same documents."""
    r = random.Random(seed)
    names, weights = list(FAULTS), [weight for _, weight in FAULTS.values()]
    for number in range(n):
        document, done = _sound(r), list[str]()
        for name in r.choices(names, weights, k=r.randint(1, 2)) if number % 2 else ():
            try:
                FAULTS[name][0](r, document)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                continue  # an earlier fault left nothing to change
            done.append(name)
        yield f"{number:06}-{'-'.join(done) or 'sound'}", json.dumps(document).encode()
