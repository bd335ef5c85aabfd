"""Two pictures below the threshold control: what sequences look like, and two settings at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import streamlit as st

from mmc4viz.arrays import Floats
from mmc4viz.charts import COLOURS, bin_edges
from mmc4viz.charts import shape as figures
from mmc4viz.sweep.estimate import sweep_clusters
from mmc4viz.sweep.settings.two_settings import SECOND, STATISTICS, SettingMap, setting_map
from mmc4viz.sweep.shape import (
    RATIOS,
    by_images,
    by_length,
    estimated_shape_rows,
    length_names,
    ratio,
    shape_rows,
)
from mmc4viz.sweep.statistics import MOST_IMAGES, Curves
from mmc4viz.types import SETTINGS, LoaderConfig
from mmc4viz.ui import data, fields, state
from mmc4viz.ui.cache import cached, tell
from mmc4viz.ui.components import control
from mmc4viz.ui.components.charts import pressed_point, show_figure
from mmc4viz.ui.html import many, note
from mmc4viz.ui.sidebar import NAMES, Choice

Values = tuple[int, ...]

_VIEWS: Final = {
    "images": "By images",
    "length": "By length",
    "text": "Text around images",
}
_VALUES: Final[dict[str, Values]] = {
    "max_images": (1, 2, 3, 4, 5, 6, 8, 10, 16, 32),
    "max_tokens": (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048),
    "min_images": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
}
_COLUMNS: Final = 60  # thresholds of a map


def show_sequences(choice: Choice, curves: Curves) -> None:
    """Draw what kept sequences look like, in one of three ways, and say it at the threshold."""
    view = fields.one_of(
        st.segmented_control,
        "Sequences",
        list(_VIEWS),
        "threshold-shape",
        "shape",
        format_func=lambda name: _VIEWS[name],
        required=True,
        label_visibility="collapsed",
        width="content",
    )
    st.markdown(f"**{in_words(_row(choice, curves), choice.config.threshold)}**")
    {"images": _by_images, "length": _by_length, "text": _text}[view](choice, curves)


def in_words(row: dict[str, float | None], threshold: float) -> str:
    """Say what a typical sequence looks like; ``row`` is one of `shape_rows`.

    Examples
    --------
    >>> in_words({"images_mean": None}, 0.9)
    'At 0.9 nothing is kept.'
    """
    if row["images_mean"] is None:
        return f"At {threshold:g} nothing is kept."

    def said(name: str, form: str) -> str:
        value = format(row[name], form) if row[name] is not None else "no"
        if (low := row.get(f"{name}_low")) is None:
            return value
        high = row[f"{name}_high"]
        return f"{value} (95% CI {format(low, form)}–{format(high, form)})"

    median = said("images_median", ".0f")
    words = (
        f"At {threshold:g} a sequence has {said('images_mean', '.2f')} images on average, median "
        f"{median}; {said('single_image', '.1%')} have one "
        f"({said('single_image_before', '.1%')} before the single-image drop). "
        f"{said('text_before_mean', '.0f')} text tokens come before the first image"
    )
    if row["text_between_mean"] is not None:
        words += f", {said('text_between_mean', '.0f')} between two images"
    if row["followed"] is not None:
        words += f"; {said('followed', '.1%')} of images have text after them"
    return f"{words}. {said('truncated_sequences', '.1%')} of sequences are truncated."


def _row(choice: Choice, curves: Curves) -> dict[str, float | None]:
    """Return the shape at the current threshold, with intervals if it is estimated."""
    config = choice.config
    keep, cap = config.single_image_keep, config.max_images
    if choice.source.sample is not None:
        return _estimated_row(choice.source, config.for_verdicts(), keep)
    step = np.array([curves.step(config.threshold)])
    here = curves.at(step, curves.thresholds[step])
    return shape_rows(here, keep, cap)[0]


@cached("Estimating")
def _estimated_row(
    source: data.CorpusKey, config: LoaderConfig, keep: float
) -> dict[str, float | None]:
    drawn = data.drawn_of(source)
    swept = sweep_clusters(drawn, config, np.array([config.threshold]))
    return estimated_shape_rows(drawn, swept, keep, config.max_images)[0]


def _by_images(choice: Choice, curves: Curves) -> None:
    keep, cap = choice.config.single_image_keep, min(choice.config.max_images, MOST_IMAGES - 1)
    found = by_images(curves, keep)
    shown = min(cap, 8)
    parts = np.vstack([found[:shown], found[shown:].sum(axis=0)])
    exactly = shown == choice.config.max_images and not found[shown + 1 :].any()
    last = many(shown, "image") if exactly else f"{shown} images or more"
    names = ["no image", *(many(n, "image") for n in range(1, shown)), last]
    there = parts.sum(axis=1) > 0
    names = [name for name, some in zip(names, there.tolist(), strict=True) if some]
    _shares(choice, curves, parts[there], names, "images", None)


def _by_length(choice: Choice, curves: Curves) -> None:
    found, limit = by_length(curves, choice.config.single_image_keep), choice.config.max_tokens
    names = [*length_names(limit), f"truncated at {limit:,}"]
    _shares(choice, curves, found, names, "length", COLOURS["truncated"])


def _shares(
    choice: Choice,
    curves: Curves,
    parts: Floats,
    names: list[str],
    what: str,
    last: str | None,
) -> None:
    """Draw how sequences divide into kinds."""
    span, title = control.shown(choice), f"Sequences by {what}"
    figure = figures.shares(curves.thresholds, parts, names, choice.config.threshold, span, last)
    show_figure(
        figure,
        title,
        f"sequences-{what}",
        ("threshold", *names),
        lambda: list(zip(curves.thresholds.tolist(), *parts.tolist(), strict=True)),
        what=f"sequences by {what}",
        alt=f"{title} at every threshold, as shares",
        key="threshold-sequences",
    )
    note("Expected numbers of kept sequences, given the single-image keep probability.")


def _text(choice: Choice, curves: Curves) -> None:
    keep, title = choice.config.single_image_keep, "Text around images"
    names = {
        "before the first image": "text_before_mean",
        "between two images": "text_between_mean",
    }
    lines = [(words, ratio(curves, name, keep)) for words, name in names.items()]
    columns = [ratio(curves, name, keep) for name in RATIOS]
    show_figure(
        figures.text_around(
            curves.thresholds, lines, choice.config.threshold, control.shown(choice)
        ),
        title,
        "sequences-text",
        ("threshold", *RATIOS),
        lambda: list(zip(curves.thresholds.tolist(), *(c.tolist() for c in columns), strict=True)),
        what="text around images",
        alt="Mean text tokens before the first image and between images at every threshold",
        key="threshold-sequences",
    )
    note(
        "Means over kept sequences. An image is trained on the text between it and the next image."
    )


@cached("Computing the map")
def map_of(
    source: data.CorpusKey,
    config: LoaderConfig,
    statistic: str,
    setting: str,
    values: Values,
    thresholds: tuple[float, ...],
) -> SettingMap:
    """Return a statistic by threshold and another setting."""
    matched = data.matched_of(source, config)
    return setting_map(matched, config, statistic, setting, values, np.array(thresholds), tell)


def show_two_settings(choice: Choice) -> None:
    """Draw a statistic by threshold and another setting; a press takes over both."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        statistic = fields.one_of(
            st.selectbox, "Statistic", list(STATISTICS), "map-statistic", "map.of", width=290,
            format_func=lambda name: STATISTICS[name].label,
        )  # fmt: skip
        setting = fields.one_of(
            st.selectbox, "Threshold and", list(SECOND), "map-setting", "map.with", width=200,
            format_func=lambda name: SETTINGS[name].label,
        )  # fmt: skip
    config, span = choice.config, control.shown(choice)
    current = int(getattr(config, setting))
    values = tuple(sorted({*_VALUES[setting], current}))
    thresholds = tuple(bin_edges(span, choice.scale, _COLUMNS, config.threshold).tolist())
    found = map_of(
        choice.source,
        config.for_yields().with_(**{setting: values[-1]}),
        statistic,
        setting,
        values,
        thresholds,
    )
    of, label = STATISTICS[statistic], SETTINGS[setting].label
    written = [[_written(cell, of.is_share) for cell in row] for row in found.cells.tolist()]
    title = f"{of.label} by threshold and {label.lower()}"
    row, step = values.index(current), int(np.abs(found.thresholds - config.threshold).argmin())
    st.markdown(
        f"**At {config.threshold:g} with {label.lower()} {current:,}: {written[row][step]}** "
        "(the value of every cell is under the pointer)"
    )
    figure = figures.setting_map(
        found, (of.label, label), written, (config.threshold, current), span
    )
    show_figure(
        figure,
        title,
        "two-settings",
        ("threshold", setting, statistic),
        lambda: [
            (threshold, value, cell)
            for value, row in zip(values, found.cells.tolist(), strict=True)
            for threshold, cell in zip(thresholds, row, strict=True)
        ],
        what="this map",
        alt=title,
        on_select=lambda: _pressed(choice, setting, values, thresholds),
    )
    words = "Stronger color: a larger value; no color: nothing is kept. "
    if choice.source.sample is not None:
        sampled = data.drawn_of(choice.source).n_documents
        words += f"Counted on the sample of {many(sampled, 'document')}. "
    note(f"{words}Press a cell to use its threshold and {label.lower()}.")


def _written(value: float, is_share: bool) -> str:
    """Write a cell's value.

    Examples
    --------
    >>> _written(0.5, True), _written(1234.5, False), _written(float("nan"), True)
    ('50.0%', '1,234.5', 'nothing kept')
    """
    if value != value:
        return "nothing kept"
    if is_share:
        return f"{value:.1%}"
    if value >= 10_000 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if value >= 100 else f"{value:.4g}"


def _pressed(choice: Choice, setting: str, values: Values, thresholds: tuple[float, ...]) -> None:
    """Use the threshold and the setting of the cell that was pressed."""
    pressed = pressed_point(state.asked("two-settings", "selection"))
    if not pressed:
        return
    value, at = pressed[:2]
    if type(value) is int and type(at) is int and value < len(values) and at < len(thresholds):
        state.put(NAMES[setting], str(values[value]))
        choice.keep(state.on_grid(thresholds[at], choice.scale))
        state.begin_anew()
