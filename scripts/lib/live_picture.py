"""Takes a picture of the live page of a run, for the README.

    harness run --agents 50 --duration 60 --web-port 8765
    python scripts/lib/live_picture.py http://127.0.0.1:8765/ docs/live.png 50

The second while the first runs; the last number is how many seconds of it are to be on the page.
"""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1440, 1090
_WAIT_MS = 600_000


def main(arguments: list[str]) -> int:
    """Take a picture; 0 when done, 2 for wrong usage."""
    if len(arguments) != 3:
        print("usage: live_picture.py ADDRESS OUT.png SECONDS", file=sys.stderr)
        return 2
    address, out, seconds = arguments
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        page.wait_for_function(
            "(span) => charts.drawn.length && charts.drawn[0].u.data[0].at(-1) >= span",
            arg=float(seconds),
            timeout=_WAIT_MS,
        )
        page.screenshot(path=out)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
