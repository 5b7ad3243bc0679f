"""A headless Chromium for tests of pages: the fixture `browser`, one for the tests of a module.

:class:`Seen` is a page in it, and what is asked of every page.

Without Chromium, or without playwright, those tests are skipped, unless
HARNESS_BROWSER_TESTS=required, as in .ci/run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["TEXT_OF_POOR_CONTRAST", "Seen", "browser"]

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser of playwright's, which asks nothing of any host by itself."""
    required = os.environ.get("HARNESS_BROWSER_TESTS") == "required"
    if not required:
        pytest.importorskip("playwright.sync_api")
    from playwright import sync_api

    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        if required:
            pytest.fail("HARNESS_BROWSER_TESTS=required, and there is no chromium on the PATH")
        pytest.skip("there is no chromium on the PATH")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield started
        started.close()


class Seen:
    """A page in a browser, with all that it said and asked for."""

    def __init__(self, browser: Any, script: str = "", **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.add_init_script(script)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append("dialog"))
        self.page.on("request", lambda request: self.asked.append(request.url))


# Evaluated in a page: its text with a contrast of less than 4.5:1 to its ground (WCAG 2.2, 1.4.3).
TEXT_OF_POOR_CONTRAST = """() => {
  const luminance = (rgb) => {
    const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map((one) => {
      const c = one / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour) && colour !== "transparent") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  const kinds = "h1,h2,h3,p,th,td,dt,dd,li,a,strong,summary,button,b,span,select";
  for (const node of document.querySelectorAll(kinds)) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own || !node.checkVisibility()) continue;
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) poor.push(`${node.tagName} ${node.textContent.slice(0, 30)} ${contrast}`);
  }
  return poor;
}"""
