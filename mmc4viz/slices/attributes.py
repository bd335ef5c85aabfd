"""What documents and images can be divided by, from the columns of the index.

An attribute of images divides matched pairs, each by its image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints, joined
from mmc4viz.data.columns import Columns, Kind, read_payload
from mmc4viz.slices.division import MOST, Codes, Division, Unit, Values, binned, divide
from mmc4viz.slices.site import ADDRESS, NOT_A_URL, authority_of, site_of_authority
from mmc4viz.sweep.pairs import Pairs, document_starts, image_starts, pairs_of
from mmc4viz.sweep.sweep import Matched
from mmc4viz.types import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class SlicedCorpus:
    """A matched corpus, with what only some attributes ask for.

    Attributes
    ----------
    matched : Matched
    known : Pairs, optional
        All of its pairs, where they are at hand.
    """

    matched: Matched
    known: Pairs | None = None

    @cached_property
    def pairs(self) -> Pairs:
        """All matched pairs."""
        return pairs_of(self.matched) if self.known is None else self.known

    @property
    def columns(self) -> list[Columns]:
        """The columns of each shard."""
        return [part.columns for part in self.matched.parts]

    @cached_property
    def images(self) -> Ints:
        """The position of each pair's image among all images of the corpus, shape (pairs,)."""
        starts = image_starts(self.matched)
        return np.asarray(starts[self.pairs.document] + self.pairs.image, np.int64)


@dataclass(frozen=True)
class Attribute:
    """Something by which a corpus is divided into slices.

    Attributes
    ----------
    name, label : str
        As named on the command line and on screen.
    unit : str
        ``document``, or ``image``.
    values : callable
        Returns the `Values` of all documents, or of all pairs; raises a ConfigError if the corpus
        does not have them.
    phrase : str
        What a slice is of, with ``{}`` for its value; ``[s]`` is left out after a value of 1. Empty
        for a column of the user's table.
    """

    name: str
    label: str
    unit: Unit
    values: Callable[[SlicedCorpus], Values]
    phrase: str = ""

    def divide(self, corpus: SlicedCorpus, most: int = MOST) -> Division:
        """Divide a corpus; of too many values, ``most`` are slices of their own."""
        return divide(self.name, self.label, self.unit, self.values(corpus), most)


# ----------------------------------------------------------------------------------------- sites


def _sites(corpus: SlicedCorpus) -> Values:
    code = np.full(corpus.matched.n_documents, -1, np.int32)
    sites: dict[str, int] = {}
    servers: dict[str, int] = {}
    start = 0
    for columns in corpus.columns:
        for row, url in enumerate(columns.batch.column("url").to_pylist(), start):
            if not url:
                continue
            authority = authority_of(url)
            found = servers.get(authority)
            if found is None:
                site = site_of_authority(authority) if authority else NOT_A_URL
                found = servers[authority] = sites.setdefault(site, len(sites))
            code[row] = found
        start += len(columns)
    return _set_apart(code, list(sites), (ADDRESS, NOT_A_URL))


def _set_apart(code: Codes, names: list[str], apart: Sequence[str]) -> Values:
    """Put some names last, whether they occur or not."""
    order = {name: i for i, name in enumerate([*(n for n in names if n not in apart), *apart])}
    place = np.array([order[name] for name in names] + [-1], np.int32)
    return Values(place[code], list(order), apart=len(apart))


# --------------------------------------------------------------------------- numbers of documents


def _images_on_page(corpus: SlicedCorpus) -> Values:
    columns = corpus.columns
    number = joined(one.n_images for one in columns)
    known = (number > 0) | (joined(one.kind for one in columns) != Kind.UNREADABLE)
    names = ["0", "1", "2–3", "4–6", "7–12", "13 or more"]
    return binned(number, known, [1, 2, 4, 7, 13], names)


def _sentences_on_page(corpus: SlicedCorpus) -> Values:
    number = joined(map(_n_sentences, corpus.columns))
    names = ["0", "1–9", "10–19", "20–39", "40–79", "80 or more"]
    return binned(number, number >= 0, [1, 10, 20, 40, 80], names)


def _n_sentences(columns: Columns) -> Ints:
    """Return each document's number of sentences; -1 if it has no list of them."""
    number = np.diff(columns.offsets("first"))
    number[columns.kind != Kind.PLAIN] = -1
    for row, sentences in _literal_sentences(columns):
        number[row] = len(sentences)
    return number


def _literal_sentences(columns: Columns) -> Iterator[tuple[int, list[Any]]]:
    """Yield the sentences of the documents whose text is in the columns."""
    payload = columns.batch.column("payload")
    for row in np.flatnonzero(columns.kind == Kind.LITERAL).tolist():
        sentences = read_payload(payload[row].as_py()).get("sentences")
        if isinstance(sentences, list):
            yield row, sentences


# ---------------------------------------------------------------------------- numbers of images


def _field(corpus: SlicedCorpus, name: str) -> NDArray[Any]:
    """Return a number of each pair's image."""
    values = joined(_inside(one, one.image(name)) for one in corpus.columns)
    return np.asarray(values[corpus.images])


def _inside(columns: Columns, values: Any) -> Any:
    """Return the values of these documents' images only: a slice shares the buffer."""
    starts = columns.offsets("images")
    return values[int(starts[0]) : int(starts[-1])]


def _area(corpus: SlicedCorpus) -> Values:
    width, height = (_field(corpus, name) for name in ("width", "height"))
    area = width.astype(np.int64) * height
    names = ["under 50,000", "50,000–199,999", "200,000–499,999", "500,000–999,999"]
    borders = [50_000, 200_000, 500_000, 1_000_000]
    return binned(area, area > 0, borders, [*names, "1,000,000 or more"])


def _aspect(corpus: SlicedCorpus) -> Values:
    width, height = (_field(corpus, name) for name in ("width", "height"))
    ratio = width / np.maximum(height, 1)
    names = ["under 1:2", "1:2 to 4:5", "4:5 to 5:4", "5:4 to 2:1", "2:1 or wider"]
    return binned(ratio, (width > 0) & (height > 0), [0.5, 0.8, 1.25, 2.0], names)


def _bytes(corpus: SlicedCorpus) -> Values:
    kb = _field(corpus, "n_bytes") // 1000  # -1 if not known
    names = ["under 11", "11–24", "25–49", "50–99", "100–249", "250 or more"]
    return binned(kb, kb >= 0, [11, 25, 50, 100, 250], names)


def _position(corpus: SlicedCorpus) -> Values:
    names = ["1", "2–3", "4–6", "7–12", "13 or later"]
    return binned(corpus.pairs.image + 1, np.ones(len(corpus.pairs), bool), [2, 4, 7, 13], names)


def _faces(corpus: SlicedCorpus) -> Values:
    recorded = [one.faces for one in corpus.columns]
    note = _unrecorded("faces", corpus.columns)
    faces = joined(
        np.full(one.n_images.sum(), -1) if faces is None else _inside(one, faces)
        for one, faces in zip(corpus.columns, recorded, strict=True)
    )[corpus.images]
    found = binned(faces, faces >= 0, [1, 2, 4], ["0", "1", "2–3", "4 or more"])
    return replace(found, notes=note)


def _format(corpus: SlicedCorpus) -> Values:
    code, names = coded([_inside(one, one.image_text("format")) for one in corpus.columns])
    return Values(code[corpus.images], names)


# ------------------------------------------------------------------------------ sentences of pairs


def _sentence_tokens(corpus: SlicedCorpus) -> Values:
    """Count the tokens of each pair's sentence after another sentence and a space."""
    columns, pairs = corpus.columns, corpus.pairs
    sizes = [np.diff(one.offsets("rest")) for one in columns]
    starts = np.concatenate([[0], np.cumsum(joined(sizes))]).astype(np.int64)
    each = joined(_texts(one) for one in columns)
    at = starts[pairs.document] + pairs.sentence
    plain = joined(one.kind for one in columns)[pairs.document] == Kind.PLAIN
    number = np.full(len(pairs), -1, np.int64)
    number[plain] = each[at[plain]]
    _count_literal(corpus, np.flatnonzero(~plain), number)
    names = ["under 5", "5–9", "10–19", "20–39", "40 or more"]
    return binned(number, number >= 0, [5, 10, 20, 40], names)


def _texts(columns: Columns) -> NDArray[Any]:
    starts = columns.offsets("rest")
    return columns.values("rest")[starts[0] : starts[-1]]


def _count_literal(corpus: SlicedCorpus, these: Ints, number: Ints) -> None:
    """Fill in the tokens of sentences of literal documents, whose texts are in the columns."""
    pairs = corpus.pairs
    wanted: dict[int, list[int]] = {}
    for at in these.tolist():
        wanted.setdefault(int(pairs.document[at]), []).append(at)
    starts = document_starts(corpus.matched).tolist()
    for columns, start in zip(corpus.columns, starts, strict=False):
        places, texts = [], []
        for row, sentences in _literal_sentences(columns):
            for at in wanted.get(start + row, ()):
                text = next(iter(sentences[int(pairs.sentence[at]) :]), None)
                if isinstance(text, str) and _is_text(text):
                    places.append(at)
                    texts.append(f" {text}")
        if texts:
            number[places] = columns.tokenizer.lengths(texts)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogate
        return False
    return True


# ------------------------------------------------------------------------------------------- texts


def coded(parts: Sequence[pa.Array]) -> tuple[Codes, list[str]]:
    """Return the code of each text, -1 for null and the empty one, and the distinct texts."""
    code, names = [np.zeros(0, np.int32)], dict[str, int]()
    for part in parts:
        found = part.dictionary_encode()
        words = found.dictionary.to_pylist()
        place = [names.setdefault(word, len(names)) if word else -1 for word in words] + [-1]
        at = found.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
        code.append(np.array(place, np.int32)[at])
    return np.concatenate(code), list(names)


def _languages(corpus: SlicedCorpus) -> Values:
    return _recorded_text("language", corpus)


def _scripts(corpus: SlicedCorpus) -> Values:
    return _recorded_text("script", corpus)


def _recorded_text(name: str, corpus: SlicedCorpus) -> Values:
    note = _unrecorded(name, corpus.columns)
    recorded: list[pa.Array | None] = [_RECORDED[name][0](one) for one in corpus.columns]
    code, names = coded([texts for texts in recorded if texts is not None])
    there = np.repeat([texts is not None for texts in recorded], [*map(len, corpus.columns)])
    every = np.full(len(there), -1, np.int32)
    every[there] = code
    return Values(every, names, notes=note)


_RECORDED: Final[dict[str, tuple[Callable[[Columns], Any], str]]] = {
    "language": (lambda one: one.languages, " --describe language"),
    "script": (lambda one: one.scripts, " --describe language"),
    "faces": (lambda one: one.faces, ""),
}
"""What not every shard has recorded, and the option that records it."""


def not_recorded(name: str, columns: Sequence[Columns]) -> str:
    """Return why these documents cannot be divided by an attribute, and what to do; else empty."""
    if name not in _RECORDED or not columns:
        return ""
    of, option = _RECORDED[name]
    if any(of(one) is not None for one in columns):
        return ""
    return f"{name} is not recorded: {_how(option)}, and use it with --index"


def _how(option: str) -> str:
    return f"index the shards again into a new folder with mmc4viz index{option}"


def _unrecorded(name: str, columns: Sequence[Columns]) -> tuple[str, ...]:
    """Return a note if some shards lack an attribute.

    Raises
    ------
    ConfigError
        When all of them do.
    """
    if reason := not_recorded(name, columns):
        raise ConfigError(reason)
    of, option = _RECORDED[name]
    n = sum(of(one) is None for one in columns)
    shards = f"{n:,} of {len(columns):,} shards"
    return (f"{name} is not recorded in {shards}, which are in 'no value': {_how(option)}",) * (
        n > 0
    )


ATTRIBUTES: Final = {
    one.name: one
    for one in (
        Attribute("site", "Site", "document", _sites, "pages of {}"),
        Attribute(
            "images", "Images on the page", "document", _images_on_page, "pages with {} image[s]"
        ),
        Attribute(
            "sentences",
            "Sentences on the page",
            "document",
            _sentences_on_page,
            "pages with {} sentence[s]",
        ),
        Attribute("language", "Language", "document", _languages, "pages in the language {}"),
        Attribute("script", "Script", "document", _scripts, "pages in the script {}"),
        Attribute("area", "Image area (pixels)", "image", _area, "images of {} pixels"),
        Attribute("aspect", "Image aspect (width:height)", "image", _aspect, "images of aspect {}"),
        Attribute("format", "Image format", "image", _format, "{} images"),
        Attribute("bytes", "Image size (kB)", "image", _bytes, "images of {} kB"),
        Attribute(
            "position",
            "Position of the image on the page",
            "image",
            _position,
            "images in position {}",
        ),
        Attribute(
            "sentence-length",
            "Sentence length (tokens)",
            "image",
            _sentence_tokens,
            "sentences of {} tokens",
        ),
        Attribute("faces", "Faces in the image", "image", _faces, "images with {} face[s]"),
    )
}
"""What every corpus can be divided by, if it is recorded."""
RECORDED: Final = ("language", "script")
"""Attributes of documents that only an index has."""
