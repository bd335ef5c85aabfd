"""MMC4's own layouts, and OmniCorpus's files with similarity matrices, which hold the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mmc4viz.formats.format import IMAGE_SUFFIXES, Container, Format, Mmc4Page
from mmc4viz.formats.parallel import hashed
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.loader.skim import image_mark
from mmc4viz.types import DocumentError

FIELDS: Final = frozenset({"text_list", "image_info", "similarity_matrix", "is_gpt", "image_map"})
"""Fields of which every MMC4 document has at least one."""


def _has_field(row: Mapping[str, Any]) -> bool:
    return not FIELDS.isdisjoint(row)


def _lacks_base64(row: Mapping[str, Any]) -> bool:
    entries = row["image_info"]
    return isinstance(entries, list) and not any(
        isinstance(entry, dict) and "image_base64" in entry for entry in entries
    )


def _with_members(row: Mapping[str, Any], members: Mapping[str, bytes], unit: TextUnit) -> Mmc4Page:
    """Give each entry the member that is named like its image, whatever the two suffixes.

    DreamLLM's reader looks for the stem of ``image_name`` with ``.jpg``.
    """
    by_stem = {suffix.rpartition(".")[0]: data for suffix, data in members.items()}
    images: list[bytes] = []

    def filled(entry: Any) -> Any:
        name = entry.get("image_name") if isinstance(entry, dict) else None
        data = None
        if isinstance(name, str):
            data = members.get(name.lower(), by_stem.get(name.lower().partition(".")[0]))
        if data is None:
            return entry
        images.append(data)
        return {**entry, "image_base64": image_mark(len(images) - 1)}

    entries = row.get("image_info")
    if not isinstance(entries, list):
        return Mmc4Page(dict(row))
    return Mmc4Page({**row, "image_info": [filled(entry) for entry in entries]}, images)


def _similarities(row: Mapping[str, Any], members: Mapping[str, bytes], unit: TextUnit) -> Mmc4Page:
    """Take the first value of each one-element list, as the loader of these files does.

    Its loader: ``mllm_openflamingo/open_flamingo/train/data.py`` of OmniCorpus. The file of an
    image is named by the SHA-256 of its URL.
    """
    sentences, matrix, infos = (
        _listed(row, name) for name in ("sentences", "matrix", "images_info")
    )
    try:
        urls = [_first(info["name"]) for info in infos]
    except (KeyError, TypeError):
        raise DocumentError("images_info has an entry without name") from None
    info = {
        "url": row.get("url", ""),
        "text_list": [_first(one) for one in sentences],
        "image_info": [
            {"image_name": hashed(url), "raw_url": url} if isinstance(url, str) else {}
            for url in urls
        ],
        "similarity_matrix": [_first(one) for one in matrix],
    }
    return Mmc4Page(info)


def _listed(row: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = row.get(name)
    if not isinstance(found, list):
        raise DocumentError(f"no {name}" if found is None else f"{name} is not a list")
    return found


def _first(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise DocumentError("a value that should be in a list of its own is not")
    return value[0]


MEMBERS: Final = Format(
    "mmc4-members",
    "MMC4 documents whose images are members of the tar",
    frozenset({"text_list", "image_info"}),
    frozenset({Container.TAR}),
    '{"text_list": ["A boat."], "image_info": [{"image_name": "a.png"}], '
    '"similarity_matrix": [[0.31]]} beside KEY.a.jpg',
    _with_members,
    members=IMAGE_SUFFIXES,
    check=_lacks_base64,
    has_scores=True,
)
MMC4: Final = Format(
    "mmc4",
    "MMC4 documents",
    frozenset(),
    frozenset({Container.TAR, Container.LINES, Container.ARRAY}),
    '{"url": "https://…", "text_list": ["A boat."], "image_info": [{"image_name": "a.png", '
    '"image_base64": "…", "matched_text_index": 0, "matched_sim": 0.31}], '
    '"similarity_matrix": [[0.31]]}',
    check=_has_field,
    has_scores=True,
)
OMNICORPUS_SIMILARITY: Final = Format(
    "omnicorpus-similarity",
    "OmniCorpus with similarity matrices",
    frozenset({"sentences", "matrix", "images_info"}),
    frozenset({Container.LINES, Container.ARRAY}),
    '{"sentences": [["A boat."]], "matrix": [[[0.31]]], "images_info": [{"name": ["https://…"]}]}',
    _similarities,
    has_scores=True,
)
