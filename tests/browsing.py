"""The review page in a real browser: what opens it, and what its tests look at."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktse.files import read_label_map
from reviewed_run import SIZE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with playwright.sync_playwright() as drivers:
        browser = drivers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of 1280 pixels; errors of its scripts are errors of the test."""
    page, errors = browser.new_page(viewport={"width": 1280, "height": 800}), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert not errors


def loaded(page: Any) -> None:
    """Wait until the image is there and can be edited."""
    page.locator("#editor:not([data-shows=''])[data-shows]").wait_for()


def open_image(page: Any, address: str, name: str) -> None:
    page.goto("about:blank")
    page.goto(f"{address}#/image/{name.replace('/', '%2F')}")
    loaded(page)


def middle(page: Any) -> tuple[int, int]:
    """A point of the window in the right half of the image, where the masks are background."""
    box = page.locator("#canvas").bounding_box()
    scale = 0.98 * min(box["width"] / SIZE[0], box["height"] / SIZE[1])
    return box["x"] + box["width"] / 2 + 6 * scale, box["y"] + box["height"] / 2


def colour(page: Any) -> tuple[int, ...]:
    """What the canvas shows in its middle, once it is drawn."""
    script = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
        const canvas = document.getElementById("canvas"), context = canvas.getContext("2d");
        done([...context.getImageData(canvas.width * 0.6, canvas.height / 2, 1, 1).data]); })))"""
    return tuple(page.evaluate(script)[:3])


def until(page: Any, condition: Callable[[], Any]) -> None:
    """Wait until something is so; on a busy machine, saving takes its time."""
    for _ in range(200):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not happen within 10 seconds")


def shown(path: Path, label: int) -> np.ndarray:
    """Where a label map has a label; nowhere if there is no such file."""
    return read_label_map(path) == label if path.is_file() else np.zeros(SIZE[::-1], dtype=bool)


def saved(page: Any) -> None:
    """Wait until an edit is on the disk."""
    page.locator("#saved", has_text="Saved; not accepted yet").wait_for()


def edit_as_the_server_dies(page: Any, process: Any) -> None:
    """Paint on the shown image when its server is gone, and wait until the page says so."""
    process.kill()
    process.wait()
    page.keyboard.press("b")
    page.mouse.click(*middle(page))
    page.locator("#bar", has_text="The server does not answer").wait_for()
