"""Takes the README's screenshots from the running app, one of each page.

    python docs/screenshots.py

Needs an installed Chromium and the packages of ``.[dev]``; draws the sample.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.serving import FLAGS, chromium, serving  # noqa: E402

# A page's path, what tells that it is drawn, and the height to show.
PAGES = {
    "tune": ("", "What each knob does", 1150),
    "documents": ("documents", "Select a row", 560),
    "borderline": ("borderline", "Borderline", 1000),
    "audit": ("audit", "Stored scores against the matrix", 1150),
}


def main() -> None:
    """Write a picture a page beside this script."""
    with (
        serving(HERE.parent) as address,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, (path, words, height) in PAGES.items():
            page = browser.new_page(viewport={"width": 1280, "height": height})
            page.goto(f"{address}/{path}")
            page.get_by_text(words).first.wait_for(timeout=60_000)
            page.wait_for_load_state("networkidle")
            page.wait_for_function(
                "!document.querySelector('[data-testid=stSkeleton], [data-stale=true]')"
            )
            page.screenshot(path=HERE / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
