"""Take the documentation's screenshots, one of each page of the running app.

    python docs/screenshots.py

Needs Chromium and the packages of ``.[dev]``. The app shows the sample, and a generated table of
pairs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.support import pairs  # noqa: E402
from tests.support.serving import FLAGS, chromium, serving  # noqa: E402

# The path of each page, text to wait for, and the height of the screenshot.
PAGES = {
    "threshold": ("?t=0.26&p.documents=50%25&p.fdr=10%25", "FDR", 2560),
    "data": ("data", "Folders and indexes", 960),
    "documents": ("documents?doc=0.5", "Raw JSON", 1500),
    "near-threshold": ("near-threshold", "Dropped: below", 1000),
    "label": ("label", "Label", 720),
    "compare-models": ("compare-models?quality=overlap", "Equivalent thresholds", 2000),
    "loader-audit": ("loader-audit", "Stored scores vs. matrix", 1500),
    "loaders": ("loaders", "Kept by one, lost by another", 1500),
    "slices": ("slices?s.by=images", "Scores of one slice", 1300),
    "export": ("export", "Export", 1300),
}


OF_PAIRS = {
    "pairs-threshold": ("?with=and", "Choose by what is kept", 1500),
    "pairs-compare-models": ("compare-models", "Rank correlation", 1620),
}


def main() -> None:
    """Write one picture per page next to this script."""
    with TemporaryDirectory() as folder:
        pairs.write(pairs.datacomp(20_000), Path(folder) / "datacomp", 2)
        take(OF_PAIRS, f"{folder}/datacomp")
    take(PAGES)


def take(pages: dict[str, tuple[str, str, int]], *shards: str) -> None:
    """Write one picture per page of the app with some shards."""
    with (
        TemporaryDirectory() as folder,
        serving(HERE.parent, *shards, "--labels", f"{folder}/labels.sqlite") as address,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, (path, words, height) in pages.items():
            page = browser.new_page(viewport={"width": 1280, "height": height})
            page.goto(f"{address}/{path}")
            page.get_by_test_id("stMain").get_by_text(words).first.wait_for(timeout=60_000)
            if name == "label":
                page.get_by_label("Your name").fill("Ada")
                page.get_by_role("button", name="Start labeling").click()
                page.get_by_text("image 1").or_(page.locator("img")).first.wait_for()
            # The folder of the generated table is of no interest.
            if shards:
                page.add_style_tag(content=".st-key-shards { visibility: hidden; }")
            page.wait_for_selector("[data-test-script-state=notRunning]")
            page.wait_for_load_state("networkidle")
            page.wait_for_function(
                "!document.querySelector('[data-testid=stSkeleton], [data-stale=true]')"
            )
            page.wait_for_timeout(1500)  # the list decodes its images by itself
            page.screenshot(path=HERE / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
