"""Settings: valid ones are accepted, all others give a one-line error."""

from __future__ import annotations

from typing import Any

import pytest

import mmc4viz
from mmc4viz import ConfigError, LoaderConfig


def test_defaults_are_openflamingos_except_the_threshold() -> None:
    config = LoaderConfig()
    assert (config.min_images, config.max_images, config.max_tokens) == (1, 6, 256)
    assert (config.min_kb, config.single_image_keep, config.assignment) == (10, 0.5, "one_to_one")
    assert config.threshold == 0.24


@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": float("nan")},
        {"threshold": "0.3"},
        {"threshold": True},
        {"threshold": 10**400},
        {"max_images": 0},
        {"max_images": 2.0},
        {"min_images": -1},
        {"max_tokens": 0},
        {"min_kb": -2},
        {"single_image_keep": 1.5},
        {"assignment": "hungarian"},
        {"tokenizer": ""},
        {"clip_model": None},
        {"thresold": 0.3},
    ],
)
def test_invalid_settings_are_refused_in_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as error:
        LoaderConfig.from_mapping(settings)
    assert "\n" not in str(error.value)
    assert next(iter(settings)) in str(error.value)


def test_settings_round_trip_through_a_dictionary() -> None:
    config = LoaderConfig(threshold=0.31, max_images=3, clip_model="ViT-B/32")
    assert LoaderConfig.from_mapping(config.as_dict()) == config


def test_public_names_are_sorted_and_documented() -> None:
    assert sorted(mmc4viz.__all__) == mmc4viz.__all__
    assert all(getattr(mmc4viz, name).__doc__ for name in mmc4viz.__all__)
