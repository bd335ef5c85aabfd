"""What other loaders did to the recorded corpora: run, recorded and compared.

The originals are run by scripts in an environment of their own, one for each family, which take
``--tokenizer FILE --threshold T … --out OUT SHARD`` and write one JSON line a document: ``key``,
``outcome``, ``image_tokens``, ``images`` handed over in order, the ``sentences`` they stand before,
and ``ids``. Their coin is fixed to keep. A document that they leave out was not read.
"""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from mmc4viz.data.shards import expand, samples
from mmc4viz.loader.draws import sequence_of_draw
from mmc4viz.loader.images import Embedded
from mmc4viz.loader.parse import parse_document
from mmc4viz.loader.profile import OMNICORPUS_SIMILARITY, LoaderProfile, Order
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.loader.walk import draws_of, walk
from mmc4viz.types import Document, LoaderConfig, Outcome, PairStatus, Verdict
from tests.support import stored
from tests.support.documents import write_tar
from tests.support.real import DATA
from tests.upstream.recorded import CORPORA, SEED, digest

Record = dict[str, Any]
NOT_RUN = "not run"
N_STORED = 600
_WITH_TOKEN = PairStatus.KEPT, PairStatus.TRUNCATED  # a pair within the cap
NO_ID = -200  # written for an image by loaders whose tokenizers have no token for it
_FILE_NAME = re.compile(r"[0-9a-z_]+\.[a-z]+")


def is_sound(raw: bytes | None) -> bool:
    """Whether a document's images are objects named as files are, and its JSON survives a copy."""
    try:
        document = json.loads(raw or b"")
        images = document["image_info"]
        if repr(json.loads(json.dumps(document))) != repr(document):  # halves of a character
            return False
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        return False
    names = [image.get("image_name") for image in images]
    plain = all(isinstance(name, str) and _FILE_NAME.fullmatch(name) for name in names)
    return plain and len(set(names)) == len(names)


def has_lists(raw: bytes | None) -> bool:
    """Whether a document is sound and its sentences are a list, to be written in another layout."""
    return is_sound(raw) and isinstance(json.loads(raw or b"").get("text_list"), list)


@dataclass(frozen=True)
class Original:
    """A loader's original code, and the settings it was recorded under.

    Attributes
    ----------
    script : str
        Which script runs it.
    arguments : tuple of str
        The script's, with the folder of the originals as ``{sources}``.
    settings : tuple of dict
        One run each, besides the profile's own.
    reads : callable or None
        Which documents the script itself reads, by their bytes; None if all.
    image_id : int
        The id that the walk has for an image where the original has none (gpt2's).
    options : mapping of str to str
        The script's names of settings, where they differ.
    reads_more : str
        Part of the error of an image that the original reads all the same; documents with one are
        not compared.
    """

    script: str
    arguments: tuple[str, ...]
    settings: tuple[dict[str, Any], ...]
    reads: Callable[[bytes | None], bool] | None = None
    image_id: int = 50257
    options: Mapping[str, str] = field(default_factory=dict)
    reads_more: str = ""

    def option(self, setting: str) -> str:
        """Return the script's option of a setting."""
        return f"--{self.options.get(setting, setting).replace('_', '-')}"


_SETTINGS = (
    {"threshold": 0.24},
    {"threshold": 0.2, "max_images": 3, "min_images": 2, "max_tokens": 64},
)


def _family(
    variant: str, file: str, settings: tuple[dict[str, Any], ...] = _SETTINGS, **more: Any
) -> Original:
    arguments = "--variant", variant, "--data-py", f"{{sources}}/{file}"
    return Original("run_of_family.py", arguments, settings, **more)


_LENGTH = {"max_tokens": "max_length"}

ORIGINALS = {
    "openflamingo-2.0": _family("v2", "of_v2/data.py"),
    "openflamingo-1": _family("v1", "of_v1/data.py", ({"threshold": 0.24}, {"threshold": 0.32})),
    "omnicorpus-openflamingo": _family("omni-mmc4", "omni_of/data.py"),
    "omnicorpus-similarity": _family(
        "omni-sim",
        "omni_of/data.py",
        ({"threshold": 0.1}, {"threshold": 0.24}, {"threshold": 0.05, "max_images": 2}),
        reads=has_lists,
    ),
    "omnicorpus-llava": Original(
        "run_omni_llava.py",
        ("--src", "{sources}/omni_llava"),
        ({}, {"max_images": 2}),
        reads=is_sound,
    ),
    "vila": Original(
        "run_vila.py",
        ("--version", "vila1.5", "--src", "{sources}/vila/vila1.5"),
        ({}, {"max_tokens": 64}),
        image_id=50258,
        options=_LENGTH,
    ),
    "dreamllm": Original(
        "run_dreamllm.py",
        ("--bos", "<|endoftext|>", "--src", "{sources}/dreamllm"),
        ({}, {"max_tokens": 700}),
        reads=is_sound,
        options=_LENGTH,
    ),
    "mm-interleaved": Original(
        "run_mm_interleaved.py",
        ("--shuffle", "seed", "--seed", "1", "--src", "{sources}/mmi"),
        ({}, {"threshold": 0.3, "max_images": 3, "min_images": 2}),
        reads=is_sound,
        reads_more="Decompressed data too large",  # with OpenCV, if Pillow cannot open it
    ),
}


def stored_shard(folder: Path) -> Path:
    """Write documents for loaders that take the stored matches, as a shard."""
    return write_tar(folder / "stored.tar", stored.documents(SEED, N_STORED))


SHARDS: dict[str, Callable[[Path], Path]] = {
    **{name: corpus.shard for name, corpus in CORPORA.items()},
    "stored": stored_shard,
}
"""What writes each recorded corpus into a folder."""


def config_of(profile: LoaderProfile, settings: dict[str, Any]) -> LoaderConfig:
    """Return a run's settings, with the loader's own defaults."""
    return LoaderConfig.from_mapping({"loader": profile.name, **settings})


def recording(name: str) -> Path:
    """Return the file of what a loader did."""
    return DATA / "loaders" / f"{name}.json.xz"


def recorded(name: str) -> dict[str, list[list[Record]]]:
    """Return what a loader did, by corpus, then by run."""
    found: dict[str, list[list[Record]]] = json.loads(lzma.decompress(recording(name).read_bytes()))
    return found


def record(name: str, runs: dict[str, list[list[Record]]]) -> None:
    """Write what a loader did, with token ids as a digest."""
    recording(name).parent.mkdir(exist_ok=True)
    kept = "key", "outcome", "image_tokens", "images", "sentences", "sides", "ids"
    brief = {
        corpus: [[{k: one[k] for k in kept if k in one} for one in run] for run in found]
        for corpus, found in runs.items()
    }
    for run in (one for found in brief.values() for one in found):
        for one in run:
            if "ids" in one:
                image_id = ORIGINALS[name].image_id
                one["ids"] = digest([image_id if i == NO_ID else i for i in one["ids"]])
    recording(name).write_bytes(lzma.compress(json.dumps(brief).encode(), preset=9))


def documents_of(shard: Path | str) -> Iterator[Document]:
    """Yield the documents of a shard as the original reads them."""
    for one in expand([str(shard)]):
        for sample in samples(one):
            yield parse_document(sample.key, sample.raw, Embedded())


def paired(
    documents: Iterable[Document], records: Iterable[Record]
) -> Iterator[tuple[Document, Record]]:
    """Give each document its record; one without was dropped."""
    waiting = iter(records)
    record = next(waiting, None)
    for document in documents:
        if record is not None and record["key"] == document.key:
            yield document, record
            record = next(waiting, None)
        else:
            yield document, {"key": document.key, "outcome": "dropped"}
    assert record is None, f"the original read {record} where there is no such document"


def is_comparable(original: Record, document: Document, name: str) -> bool:
    """Whether the original was run on a document, and reads its images as the walk does."""
    more = ORIGINALS[name].reads_more
    errors = (image.pixel_error or "" for image in document.images)
    return original["outcome"] != NOT_RUN and not (more and any(more in one for one in errors))


def differences(
    original: Record,
    document: Document,
    config: LoaderConfig,
    tokenizer: Tokenizer,
    profile: LoaderProfile,
) -> Iterator[str]:
    """Yield what the walk says otherwise than the original.

    Images of equal bytes are one image here: the original shows only their pixels.
    """
    if not is_comparable(original, document, profile.name):
        return
    verdict = walk(document, config, tokenizer)
    if profile.is_random:
        yield from drawn_differences(original, document, verdict, config, tokenizer, profile)
        return
    if (verdict.outcome is Outcome.KEPT) != (original["outcome"] == "kept"):
        yield f"{verdict.outcome} ({verdict.detail}), not {original['outcome']}"
        return
    if verdict.outcome is not Outcome.KEPT:
        return
    if profile is OMNICORPUS_SIMILARITY and has_equal_scores(document):
        return  # which of them is taken depends on the processor
    ids = original["ids"]
    if not isinstance(ids, str):
        ids = digest([tokenizer.image_id if one == NO_ID else one for one in ids])
    if digest(list(verdict.token_ids)) != ids:
        yield "token ids differ"
    if verdict.image_tokens != original["image_tokens"]:
        yield f"{verdict.image_tokens} image tokens, not {original['image_tokens']}"
    if document.is_gpt:
        return
    single = verdict.image_tokens == 1
    if verdict.keep_probability != (config.single_image_keep if single else 1):
        yield f"kept with probability {verdict.keep_probability}"
    images = handed_over(verdict)
    sentence_of = {pair.image: pair.sentence for pair in verdict.pairs}
    sentences = [sentence_of[image] for image in images]
    if sentences != original["sentences"]:
        yield f"sentences {sentences}, not {original['sentences']}"
        return
    digests = [image.digest or -number for number, image in enumerate(document.images, 1)]
    found = [digests[image] for image in images]
    wanted = [digests[image] for image in original["images"]]
    if profile.order is Order.SENTENCE:
        same = is_same_but_for_ties(found, wanted, sentences, verdict, digests)
    else:
        same = found == wanted
    if not same:
        yield f"images {images}, not {original['images']}"


def has_equal_scores(document: Document) -> bool:
    """Whether two scores of a matrix are the same."""
    scores = np.array(document.similarity).ravel()
    return len(set(scores.tolist())) < len(scores)


def drawn_differences(
    original: Record,
    document: Document,
    verdict: Verdict,
    config: LoaderConfig,
    tokenizer: Tokenizer,
    profile: LoaderProfile,
) -> Iterator[str]:
    """Yield why the walk says that the original could not have drawn what it drew."""
    draws = draws_of(document, config)
    if original["outcome"] != "kept":
        if verdict.outcome is Outcome.KEPT and (draws is None or draws.readable == 1):
            yield f"kept, not {original['outcome']}"
        return
    if verdict.outcome is not Outcome.KEPT or draws is None:
        yield f"{verdict.outcome} ({verdict.detail}), not kept"
        return
    draw = draws.draw_of(original["images"], [side == "before" for side in original["sides"]])
    if draw is None:
        yield f"images {original['images']}, {original['sides']} are impossible"
        return
    sentences = [match.sentence for match in draw.matches]
    if sentences != original["sentences"]:
        yield f"sentences {sentences}, not {original['sentences']}"
    sequence = sequence_of_draw(document, draw, tokenizer, profile)
    ids = original["ids"]
    if digest(list(sequence.ids)) != (ids if isinstance(ids, str) else digest(ids)):
        yield "token ids differ"
    if not verdict.image_tokens == sequence.image_tokens == original["image_tokens"]:
        yield f"{verdict.image_tokens} image tokens, not {original['image_tokens']}"
    chance = config.single_image_keep if len(sentences) == 1 else 1
    if verdict.keep_probability != chance * float(draws.readable):
        yield f"kept with probability {verdict.keep_probability}"


def handed_over(verdict: Verdict) -> list[int]:
    """Return the images handed over, in order; those of sequences without cut images by token."""
    handed = [p.image for p in verdict.pairs if p.status in (PairStatus.KEPT, PairStatus.TRUNCATED)]
    bound = [one.bound_image for one in verdict.binding if one.bound_image is not None]
    return bound if len(bound) == verdict.handed_over else handed


def is_same_but_for_ties(
    found: list[int], wanted: list[int], sentences: list[int], verdict: Verdict, digests: list[int]
) -> bool:
    """Whether images are the same ones, those of one sentence in any order.

    The original sorts them unstably, so a cut between them may leave any of them.
    """
    if len(found) != len(wanted):
        return False
    at = 0
    for sentence, group in groupby(sentences):
        n = len(list(group))
        here, there = Counter(found[at : at + n]), Counter(wanted[at : at + n])
        at += n
        possible = Counter(
            digests[pair.image]
            for pair in verdict.pairs
            if pair.sentence == sentence and pair.status in _WITH_TOKEN
        )
        is_cut = at == len(found) and n < possible.total()
        if here != there and not (is_cut and there <= possible):
            return False
    return True
