"""Pictures of the web page: the one of the README, and the page's states in both schemes and at two widths, to look at.

    python bench/web_page.py docs/web.png [--states FOLDER] [--library FILE]

Takes Chromium and Playwright, the demo photographs and the built-in model. The library's states are those of FILE.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import seesay

PHOTOS = sorted(Path(seesay.__file__).with_name("builtin").glob("*.jpg"))
PHOTO = "cat.jpg"
SIZES = {"desk": {"width": 1200, "height": 760}, "phone": {"width": 390, "height": 844}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--states", type=Path, default=None)
    parser.add_argument("--library", type=Path, default=Path("bench-web-page.db"))
    arguments = parser.parse_args()

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with server(arguments.library) as address, sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium)
        page = opened(browser, address, "desk", "light")
        described(page)
        page.screenshot(path=arguments.picture)
        if arguments.states:
            arguments.states.mkdir(parents=True, exist_ok=True)
            for size in SIZES:
                for scheme in ("light", "dark"):
                    states(opened(browser, address, size, scheme), address, arguments.states / f"{size}-{scheme}")
        browser.close()


@contextmanager
def server(library: Path) -> Iterator[str]:
    """The address of a server with this library, until the block ends."""
    command = [sys.executable, "-m", "seesay", "serve", "--library", str(library), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        line = next(line for line in started.stderr if line.startswith("Seesay is at "))
        try:
            yield line.split()[3]
        finally:
            started.terminate()


def opened(browser: Any, address: str, size: str, scheme: str) -> Any:
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    page.locator("#model:not(:empty)").wait_for(state="attached")
    return page


def described(page: Any) -> None:
    """The demo photographs, one of them shown, and where the last word of its caption looked."""
    page.set_input_files("#files", PHOTOS)
    page.locator(".tile.done").nth(len(PHOTOS) - 1).wait_for(state="attached")
    page.locator(".tile", has_text=PHOTO).click()
    page.get_by_role("button", name="Where each word looked").click()
    page.locator(".word").last.click()
    page.locator(".heat.shown").wait_for()
    page.mouse.move(0, 0)
    page.locator(".toast:not(.shown)").wait_for(state="attached")


def states(page: Any, address: str, name: Path) -> None:
    """Files `name`-STATE.png."""

    def keep(state: str) -> None:
        page.wait_for_timeout(500)
        page.screenshot(path=f"{name}-{state}.png")

    keep("welcome")
    described(page)
    keep("described")
    page.goto(f"{address}#/library")
    page.locator(".grid img.there, .welcome h2").first.wait_for()
    keep("library")
    page.get_by_role("searchbox").fill("a dog in the water")
    page.locator(".count", has_text=" of ").wait_for()
    page.get_by_role("button", name="Filters").click()
    keep("search")
    page.locator(".grid a").first.click()
    page.locator("dialog .caption").wait_for()
    page.locator("dialog .block", has_text="Why it was found").scroll_into_view_if_needed()
    keep("why")


if __name__ == "__main__":
    main()
