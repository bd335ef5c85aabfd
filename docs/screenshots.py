"""Take the documentation's screenshots from the running app, one of each page.

    python docs/screenshots.py

Needs an installed Chromium and the packages of ``.[dev]``; draws the sample.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.support.serving import FLAGS, chromium, serving  # noqa: E402

# A page's path, what tells that it is drawn, and the height to show.
PAGES = {
    "threshold": ("?t=0.26&p.documents=50%25&p.fdr=10%25", "FDR", 2560),
    "documents": ("documents?doc=0.5", "Raw JSON", 3300),
    "near-threshold": ("borderline", "Just below", 1000),
    "label": ("label", "Label", 720),
    "compare-models": ("models", "Models", 1400),
    "loader-audit": ("audit", "Stored scores against the matrix", 1500),
    "export": ("export", "Export", 1300),
}


def main() -> None:
    """Write a picture a page beside this script."""
    with (
        TemporaryDirectory() as folder,
        serving(HERE.parent, "--labels", f"{folder}/labels.sqlite") as address,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, (path, words, height) in PAGES.items():
            page = browser.new_page(viewport={"width": 1280, "height": height})
            page.goto(f"{address}/{path}")
            page.get_by_test_id("stMain").get_by_text(words).first.wait_for(timeout=60_000)
            if name == "label":
                page.get_by_label("Your name").fill("Ada")
                page.get_by_role("button", name="Begin").click()
                page.get_by_text("image 1").or_(page.locator("img")).first.wait_for()
            page.wait_for_selector("[data-test-script-state=notRunning]")
            page.wait_for_load_state("networkidle")
            page.wait_for_function(
                "!document.querySelector('[data-testid=stSkeleton], [data-stale=true]')"
            )
            page.screenshot(path=HERE / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
