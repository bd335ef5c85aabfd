"""What other loaders did to the recorded corpora: run, recorded and compared.

The originals are run by scripts in an environment of their own, one for each family, which take
``--tokenizer FILE --threshold T … --out OUT SHARD`` and write one JSON line a document: ``key``,
``outcome``, ``image_tokens``, ``images`` handed over in order, the ``sentences`` they stand before,
and ``ids``. Their coin is fixed to keep. A document that they leave out was not read.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmc4viz.data.shards import expand, samples
from mmc4viz.loader.images import Embedded
from mmc4viz.loader.parse import parse_document
from mmc4viz.loader.profile import profile_of
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.loader.walk import walk
from mmc4viz.types import Document, LoaderConfig, Outcome, PairStatus
from tests.support.real import DATA
from tests.upstream.recorded import digest

Record = dict[str, Any]
NOT_RUN = "not run"
LLAVA_IMAGE, IMAGE_ID = -200, 50257  # LLaVA's loader has no id for an image; gpt2's first new one


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
    sound_only : bool
        Whether the script itself reads only documents that `is_sound` accepts.
    """

    script: str
    arguments: tuple[str, ...]
    settings: tuple[dict[str, Any], ...]
    sound_only: bool = False


_SETTINGS = (
    {"threshold": 0.24},
    {"threshold": 0.2, "max_images": 3, "min_images": 2, "max_tokens": 64},
)


def _family(variant: str, file: str, settings: tuple[dict[str, Any], ...] = _SETTINGS) -> Original:
    arguments = "--variant", variant, "--data-py", f"{{sources}}/{file}"
    return Original("run_of_family.py", arguments, settings)


ORIGINALS = {
    "openflamingo-2.0": _family("v2", "of_v2/data.py"),
    "openflamingo-1": _family("v1", "of_v1/data.py", ({"threshold": 0.24}, {"threshold": 0.32})),
    "omnicorpus-openflamingo": _family("omni-mmc4", "omni_of/data.py"),
    "omnicorpus-llava": Original(
        "run_omni_llava.py",
        ("--src", "{sources}/omni_llava"),
        ({}, {"max_images": 2}),
        sound_only=True,
    ),
}


def config_of(loader: str, settings: dict[str, Any]) -> LoaderConfig:
    """Return a run's settings, with the loader's own defaults."""
    return LoaderConfig.from_mapping({"loader": loader, **settings})


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
    kept = "key", "outcome", "image_tokens", "images", "sentences", "ids"
    brief = {
        corpus: [[{k: one[k] for k in kept if k in one} for one in run] for run in found]
        for corpus, found in runs.items()
    }
    for run in (one for found in brief.values() for one in found):
        for one in run:
            if "ids" in one:
                one["ids"] = digest([IMAGE_ID if i == LLAVA_IMAGE else i for i in one["ids"]])
    recording(name).write_bytes(lzma.compress(json.dumps(brief).encode(), preset=9))


def is_sound(raw: bytes | None) -> bool:
    """Whether a document's images are objects with a name, and its JSON survives a copy."""
    try:
        document = json.loads(raw or b"")
        images = document["image_info"]
        if repr(json.loads(json.dumps(document))) != repr(document):  # halves of a character
            return False
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(images, list) and all(
        isinstance(image, dict) and isinstance(image.get("image_name"), str) for image in images
    )


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


def differences(
    original: Record,
    document: Document,
    config: LoaderConfig,
    tokenizer: Tokenizer,
) -> Iterator[str]:
    """Yield what the walk says otherwise than the original.

    Images of equal bytes are one image here: the original shows only their pixels.
    """
    if original["outcome"] == NOT_RUN:
        return
    verdict = walk(document, config, tokenizer)
    if (verdict.outcome is Outcome.KEPT) != (original["outcome"] == "kept"):
        yield f"{verdict.outcome} ({verdict.detail}), not {original['outcome']}"
        return
    if verdict.outcome is not Outcome.KEPT:
        return
    ids = original["ids"]
    if not isinstance(ids, str):
        image_id = tokenizer.with_special(profile_of(config).special_tokens).image_id
        ids = digest([image_id if one == LLAVA_IMAGE else one for one in ids])
    if digest(list(verdict.token_ids)) != ids:
        yield "token ids differ"
    if verdict.image_tokens != original["image_tokens"]:
        yield f"{verdict.image_tokens} image tokens, not {original['image_tokens']}"
    if document.is_gpt:
        return
    single = verdict.image_tokens == 1
    if verdict.keep_probability != (config.single_image_keep if single else 1):
        yield f"kept with probability {verdict.keep_probability}"
    handed = [p for p in verdict.pairs if p.status in (PairStatus.KEPT, PairStatus.TRUNCATED)]
    digests = [image.digest or -number for number, image in enumerate(document.images, 1)]
    if [digests[p.image] for p in handed] != [digests[i] for i in original["images"]]:
        yield f"images {[p.image for p in handed]}, not {original['images']}"
    if [p.sentence for p in handed] != original["sentences"]:
        yield f"sentences {[p.sentence for p in handed]}, not {original['sentences']}"
