"""What the live page is made of: complete, packaged, and with nothing that its policy forbids."""

from __future__ import annotations

import configparser
import re
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path

import pytest

from harness.live.web.page_files import SCRIPTS, STYLES, page_files
from harness.report.page import asset


def test_the_page_asks_for_its_own_style_and_script_alone():
    """Every address in the document is one of the page's files, relative to the page."""
    page = page_files()[""].body.decode()
    asked = set(re.findall(r'(?:src|href)="([^"#][^"]*)"', page)) - {"data:,"}
    assert asked == set(page_files()) - {""}


def test_the_document_has_nothing_that_its_policy_forbids():
    """No script, style or handler is in the document itself."""
    page = page_files()[""].body.decode()
    assert not re.search(r"<style|<script(?! src)|\sstyle=|\son\w+=|javascript:", page)


def test_what_the_stream_says_is_never_markup():
    """No script of the page has a way to make elements of text."""
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    for name in SCRIPTS:
        script = (resources.files("harness.live.web") / "assets" / name).read_text("utf-8")
        assert not re.search(forbidden, script), name


@pytest.mark.parametrize("name", ["tokens.css", "report.css"])
def test_the_page_has_the_report_s_style(name: str):
    """Palette and look are the report's own files, whole."""
    assert asset(name) in page_files()["live.css"].body.decode()


@pytest.mark.parametrize("name", ["quantities.js", "plot.js", "chart.js"])
def test_the_page_draws_and_writes_as_the_report(name: str):
    """Charts and numbers are those of the report's own scripts, whole."""
    assert asset(name) in page_files()["live.js"].body.decode()


def test_an_installed_package_has_the_page():
    """Each file of the page is in the package's data."""
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg")
    patterns = settings["options.package_data"]["harness.live.web"].split()
    for name in ("live.html", *STYLES, *SCRIPTS):
        assert any(fnmatch(f"assets/{name}", pattern) for pattern in patterns)
