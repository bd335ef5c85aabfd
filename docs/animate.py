"""Record the README's animation: dragging the threshold in the running app.

    python docs/animate.py

Needs Chromium and the packages of ``.[dev]``. The app shows the sample.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.support.serving import FLAGS, chromium, serving  # noqa: E402

OUT = HERE / "drag.webp"
SIZE = {"width": 1280, "height": 1060}
FRAMES = 60  # there and back
EACH = 80  # milliseconds per frame
STILL = 1200  # milliseconds of the last frame
MOST_BYTES = 2_000_000

# A headless browser has no visible pointer: draw one.
POINTER = """
() => {
  const arrow = document.createElement('div');
  arrow.style.cssText = `position: fixed; z-index: 999999; pointer-events: none; width: 20px;
    height: 20px; background: #222; border: 0; left: -50px; top: -50px;
    clip-path: polygon(0 0, 0 80%, 24% 60%, 40% 95%, 55% 88%, 40% 54%, 70% 54%)`;
  document.body.append(arrow);
  addEventListener('pointermove', (event) => {
    arrow.style.left = `${event.clientX}px`;
    arrow.style.top = `${event.clientY}px`;
  }, true);
}
"""


def rested(page: Page) -> None:
    """Wait until everything is drawn."""
    page.wait_for_selector(".handle[aria-valuetext]", timeout=60_000)
    page.wait_for_selector("[data-test-script-state=notRunning]", state="attached")
    page.wait_for_load_state("networkidle")
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton], [data-stale=true]')")


def pictures(page: Page) -> Iterator[Image.Image]:
    """Drag the threshold down, up and back; yield the frames."""

    def seen() -> Image.Image:
        page.evaluate("() => new Promise((then) => requestAnimationFrame(() => setTimeout(then)))")
        return Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")

    box = page.locator(".handle").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for frame in range(FRAMES):
        page.mouse.move(x - 130 * math.sin(2 * math.pi * frame / FRAMES), y)
        yield seen()
    page.mouse.move(x, y)
    page.mouse.up()
    rested(page)
    yield seen()


def main() -> None:
    """Write the animation next to this script."""
    with (
        TemporaryDirectory() as folder,
        serving(HERE.parent, "--labels", f"{folder}/labels.sqlite") as address,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        rested(page)
        page.evaluate(POINTER)
        frames = list(pictures(page))
        browser.close()
    small = [f.resize((f.width * 3 // 4, f.height * 3 // 4), Image.Resampling.LANCZOS)
             for f in frames]  # fmt: skip
    times = [EACH] * FRAMES + [STILL]
    for quality in (80, 65, 50, 35):
        small[0].save(OUT, save_all=True, append_images=small[1:], duration=times, loop=0,
                      quality=quality, method=6)  # fmt: skip
        if OUT.stat().st_size <= MOST_BYTES:
            return
    raise SystemExit(f"{OUT} has {OUT.stat().st_size:,} bytes; the limit is {MOST_BYTES:,}")


if __name__ == "__main__":
    main()
