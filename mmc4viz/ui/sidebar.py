"""The sidebar: widgets → shards, settings and a threshold. Shows nothing of the data itself.

Widgets that do not depend on the data are always drawn, so that an error in one input does not
reset the others. The threshold is remembered for each CLIP model.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.corpus.curves import COSINE, Scale
from mmc4viz.corpus.shards import Layout, Shard, expand
from mmc4viz.corpus.similarity import Sidecar
from mmc4viz.loader.tokens import BUILT_IN
from mmc4viz.model import ASSIGNMENT_NAMES, ConfigError, LoaderConfig
from mmc4viz.ui import data
from mmc4viz.ui.inert import note
from mmc4viz.ui.start import Start, own_model

HELP = {
    "threshold": "A matched pair that scores below this is dropped; equal is kept.",
    "clip_model": "Whose similarity decides: the shards' own, or a file similarity_*.parquet "
    "beside them. The threshold is remembered for each model.",
    "min_kb": "An image of n bytes is too small when n // 1000 is at most this: 10 accepts from "
    "11,000 bytes on. −1 turns the limit off.",
    "assignment": "How images are matched to sentences: one_to_one (optimal, the loader today), "
    "argmax (the loader before August 2023), stored (the corpus's own), greedy (best first).",
    "min_images": "A sequence with fewer image tokens is rejected.",
    "max_images": "So many surviving pairs are kept, in image order, whatever their scores.",
    "max_tokens": "The sequence is cut at this length; image tokens behind the cut are lost.",
    "single_image_keep": "Probability with which a sequence with exactly one image token "
    "survives. The loader tosses a coin: 0.5.",
    "tokenizer": "gpt2 (built in), a tokenizer.json, a folder, or a Hugging Face id.",
    "shards": "One a line: WebDataset tars or MMC4's .jsonl, .jsonl.gz, .jsonl.zip; folders, "
    "globs and braces such as shard-{0000..0003}.tar are expanded.",
    "image_dir": "Images of MMC4's own .jsonl: FOLDER/k/NAME, k the shard's position in the "
    "list, or FOLDER/NAME.",
}
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Choice:
    """What was chosen: the data, the setting, and the thresholds worth showing."""

    shards: tuple[Shard, ...]
    source: data.Source
    config: LoaderConfig
    scale: Scale
    span: tuple[float, float]


def choose(start: Start) -> Choice | None:
    """Draw the sidebar; return None when there is nothing to open.

    Raises
    ------
    Mmc4vizError
        For shards, a tokenizer or settings that cannot be used.
    """
    with st.sidebar:
        threshold_slot, model_slot = st.container(), st.container()
        settings = _settings(start.config)
        tokenizer = _tokenizer(start.config)
        patterns = _shards(start)
        folder_slot = st.container()
    shards = tuple(expand(patterns)) if patterns else ()
    image_dir = _image_dir(folder_slot, shards, start)
    if not shards:
        return None
    model, sidecar = _model(model_slot, patterns, shards, start)
    base = LoaderConfig(tokenizer=tokenizer, clip_model=model, **settings)
    source = data.source_of(shards, tokenizer, image_dir, sidecar)
    data.tokenizer_of(source).check_room(base.max_tokens)
    scale = data.scale_for(source, base)
    span = visible_span(data.scores_of(source, base), scale)
    with threshold_slot:
        config = base.with_(threshold=_threshold(model, start, scale, span))
        _download(config)
    return Choice(shards, source, config, scale, span)


def visible_span(scores: NDArray[np.float64], scale: Scale) -> tuple[float, float]:
    """Return the thresholds worth showing: steps of the grid around all scores.

    On cosine scale the reference setting is among them.

    Examples
    --------
    >>> visible_span(np.array([0.2, 0.4]), COSINE)
    (0.19, 0.41)
    """
    finite = scores[np.isfinite(scores)]
    low, high = (float(finite[0]), float(finite[-1])) if len(finite) else (0.0, 0.5)
    if scale == COSINE:
        low, high = min(low, data.REFERENCE), max(high, data.REFERENCE)
    low, high = max(low, scale.start), min(high, scale.stop)
    margin = max(5, round(0.05 * (high - low) / scale.step))
    first = max(math.floor(low / scale.step + 1e-6) - margin, round(scale.start / scale.step))
    last = min(math.ceil(high / scale.step - 1e-6) + margin, round(scale.stop / scale.step))
    return round(first * scale.step, scale.digits), round(last * scale.step, scale.digits)


def _threshold(model: str, start: Start, scale: Scale, span: tuple[float, float]) -> float:
    """Draw the slider over the grid's steps, where this model's threshold was left."""
    remembered: dict[str, float] = st.session_state.setdefault("thresholds", {})
    asked = start.config.threshold if _is_named(model, start) else data.REFERENCE
    wanted = remembered.get(model, asked)
    nearest = round(
        round(min(max(wanted, span[0]), span[1]) / scale.step) * scale.step, scale.digits
    )
    form = f"%.{scale.digits}f"
    chosen: float = st.slider(
        "Similarity threshold",
        *span,
        value=nearest,
        step=scale.step,
        format=form,
        key=f"threshold-{hashlib.sha256(model.encode()).hexdigest()[:8]}",
        help=HELP["threshold"],
    )
    chosen = round(chosen, scale.digits)
    if model not in remembered and nearest != wanted and chosen == nearest:
        note(f"{wanted:g} is no step of this model's scale ({scale.name}); shown: {nearest:g}")
    else:
        remembered[model] = chosen
    return chosen


def _is_named(model: str, start: Start) -> bool:
    return start.config.clip_model in (model, LoaderConfig().clip_model)


def _model(
    slot: DeltaGenerator, patterns: Sequence[str], shards: Sequence[Shard], start: Start
) -> tuple[str, str | None]:
    """Choose among the shards' own similarity and the files beside them."""
    beside = data.sidecars_beside(shards)
    own = own_model(tuple(shard.path for shard in shards), start.config)
    if own in [sidecar.model for sidecar in beside]:
        own = LoaderConfig().clip_model  # --config names a model that has a file of its own
    models: dict[str, str | None] = {own: None}
    for sidecar in beside:
        models[_unused(sidecar, models)] = sidecar.path
    names = list(models)
    named = st.session_state.get("model", start.config.clip_model)
    with slot:
        chosen = st.selectbox(
            "CLIP model",
            names,
            index=names.index(named) if named in names else 0,
            key="clip-model",
            help=HELP["clip_model"],
        )
    st.session_state["model"] = chosen
    return chosen, models[chosen]


def _unused(sidecar: Sidecar, models: dict[str, str | None]) -> str:
    name = sidecar.model
    return f"{name} ({sidecar.path})" if name in models else name


def _settings(config: LoaderConfig) -> dict[str, Any]:
    """Draw every setting of the loader but threshold, tokenizer and model."""
    st.subheader("Loader")

    left, right = st.columns(2)
    with left:
        min_images = _whole("Fewest images", "min_images", 0, config)
        max_tokens = _whole("Token limit", "max_tokens", 1, config)
    with right:
        max_images = _whole("Image cap", "max_images", 1, config)
        min_kb = _whole("Too small (kB)", "min_kb", -1, config)
    assignment = st.selectbox(
        "Assignment",
        ASSIGNMENT_NAMES,
        index=ASSIGNMENT_NAMES.index(config.assignment),
        key="assignment",
        help=HELP["assignment"],
    )
    single_image_keep = st.number_input(
        "Odds of a single-image document",
        min_value=0.0,
        max_value=1.0,
        value=config.single_image_keep,
        step=0.05,
        key="single_image_keep",
        help=HELP["single_image_keep"],
    )
    return {
        "min_images": min_images,
        "max_images": max_images,
        "max_tokens": max_tokens,
        "min_kb": min_kb,
        "assignment": assignment,
        "single_image_keep": float(single_image_keep),
    }


def _whole(label: str, name: str, least: int, config: LoaderConfig) -> int:
    """Draw one setting that is a whole number."""
    value: int = getattr(config, name)
    return st.number_input(label, least, _LARGEST, value=value, step=1, key=name, help=HELP[name])


def _tokenizer(config: LoaderConfig) -> str:
    name = st.text_input(
        "Tokenizer", value=config.tokenizer, key="tokenizer", help=HELP["tokenizer"]
    ).strip()
    if name == BUILT_IN:
        note("GPT-2's, built in: counts are approximate for models with another tokenizer.")
    return name or BUILT_IN


def _shards(start: Start) -> list[str]:
    st.subheader("Data")
    text = st.text_area(
        "Shards", value="\n".join(start.shards), key="shards", height=90, help=HELP["shards"]
    )
    return [line.strip() for line in text.splitlines() if line.strip()]


def _image_dir(slot: DeltaGenerator, shards: Sequence[Shard], start: Start) -> str | None:
    """Ask for the images' folder where shards of MMC4's own kind have none in them."""
    if not start.image_dir and all(shard.layout is not Layout.JSONL for shard in shards):
        return None
    with slot:
        folder = st.text_input(
            "Folder of images", value=start.image_dir, key="image_dir", help=HELP["image_dir"]
        ).strip()
    if folder and data.identify(folder).changed < 0:
        raise ConfigError(f"{folder}: no such folder of images")
    return folder or None


def _download(config: LoaderConfig) -> None:
    """Offer the setting as ``--config`` reads it."""
    st.download_button(
        "Download this setting",
        data=json.dumps(config.as_dict(), indent=2) + "\n",
        file_name="mmc4viz-config.json",
        mime="application/json",
        on_click="ignore",
        help="JSON for mmc4viz --config, with the model's name in it.",
        width="stretch",
    )
