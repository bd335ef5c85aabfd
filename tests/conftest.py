"""What all tests share: no network, and examples that take as long as they take."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
settings.register_profile("mmc4viz", deadline=None)
settings.load_profile("mmc4viz")
