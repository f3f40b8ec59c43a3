"""What the page says of what a person has done, and of what went wrong, in a real browser."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import pytest

from browsing import colour, edit_as_the_server_dies, open_image, until
from ktse.run_folder import RunFolder
from reviewed_run import served

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
if not importlib.util.find_spec("uvicorn"):
    pytest.skip("needs the extra review", allow_module_level=True)


@pytest.fixture
def address(reviewed: RunFolder) -> Iterator[str]:
    with served(reviewed) as (_, address):
        yield address


def says(page: Any, place: str, text: str) -> None:
    playwright.expect(page.locator(place)).to_contain_text(text)


def learning(page: Any, *answers: dict[str, Any]) -> None:
    """What the server answers when it is asked about the learning: one after the other, and the last one for ever."""
    left = [{"seconds": 3, "lines": [], "rounds": 0, **answer} for answer in answers]

    def answer(route: Any) -> None:
        route.fulfill(content_type="application/json", body=json.dumps(left.pop(0) if len(left) > 1 else left[0]))

    page.route("**/api/learn*", answer)


def test_the_next_image_says_what_became_of_the_one_before_and_leads_back(page: Any, address: str) -> None:
    open_image(page, address, "beach/002")
    page.keyboard.press("a")
    says(page, "#saved", "beach/002 is accepted.")
    page.locator("#saved a").click()
    says(page, "#name", "beach/002")
    says(page, "#facts", "accepted")
    page.keyboard.press("n")
    playwright.expect(page.locator("#name")).not_to_have_text("beach/002")
    playwright.expect(page.locator("#saved")).to_have_text("")  # nothing was decided


def test_this_is_not_holds_for_one_image(page: Any, address: str) -> None:
    open_image(page, address, "beach/002")
    page.keyboard.press("x")
    says(page, "#tool-note", "where the class is not")
    page.keyboard.press("n")
    says(page, "#tool-note", "where the class is:")
    playwright.expect(page.locator("[data-denies=false]")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("accepted", ["at once", "later"])
def test_a_mask_that_is_not_accepted_is_still_saved(
    page: Any, address: str, reviewed: RunFolder, accepted: str
) -> None:
    open_image(page, address, "beach/002")
    page.keyboard.press("e")
    page.keyboard.press("s")
    box = page.locator("#canvas").bounding_box()
    corners = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    page.mouse.move(corners[0][0] + 1, corners[0][1] + 1)
    page.mouse.down()
    for x, y in (*corners[1:], corners[0]):
        page.mouse.move(min(x, box["x"] + box["width"] - 2), min(y, box["y"] + box["height"] - 2), steps=5)
    page.mouse.up()
    if accepted == "later":
        says(page, "#saved", "Saved; not accepted yet")
    page.keyboard.press("a")
    says(page, "#bar", "shows none of the tags")
    playwright.expect(page.locator("#saved")).to_have_text("Not accepted")
    until(page, reviewed.path("corrections", ".drafts", "beach", "002.png").is_file)


def test_only_the_order_by_turns_promises_masks_that_were_drawn_by_chance(page: Any, address: str) -> None:
    page.goto(address)
    says(page, "#intro", "In turn:")
    page.select_option("#order", "name")
    says(page, "#intro", "Few of these masks are drawn by chance")
    page.select_option("#order", "need")
    says(page, "#intro", "In turn:")
    page.select_option("#class", "1")
    says(page, "#intro", "Few of these masks are drawn by chance")


def test_why_learning_failed(page: Any, address: str) -> None:
    lines = ["stage 1 of 9", "ktse run: another ktse works in runs/x (process 7)", "Wait until it has finished."]
    learning(page, {"state": "running"}, {"state": "failed", "lines": lines})
    page.goto(address)
    says(page, "#bar-text", "Learning failed: another ktse works in runs/x (process 7) Wait until it has finished.")


def test_a_server_that_begins_anew_is_no_failure_and_hides_nothing_unsaved(page: Any, reviewed: RunFolder) -> None:
    learning(page, {"state": "running"}, {"state": "running"}, {"state": ""})
    with served(reviewed) as (process, address):
        page.goto(address)
        playwright.expect(page.locator("#learn-state")).to_contain_text("Learning for 3 s")
        process.kill()
        process.wait()
    says(page, "#bar-text", "The server has begun anew")
    page.locator("#bar button").click()
    playwright.expect(page.locator("#bar")).to_be_hidden()


def test_what_is_said_of_the_run_waits_for_what_is_said_of_an_image(page: Any, reviewed: RunFolder) -> None:
    with served(reviewed) as (process, address):
        open_image(page, address, "beach/001")
        edit_as_the_server_dies(page, process)
    page.route("**/api/learn*", lambda route: route.fulfill(status=409, body='{"message": "It learns already."}'))
    page.evaluate("document.getElementById('learning').hidden = false")
    page.keyboard.press("w")
    page.wait_for_timeout(300)
    says(page, "#bar-text", "The server does not answer")
    page.unroute("**/api/learn*")
    with served(reviewed, int(address.rstrip("/").rpartition(":")[2])):
        page.get_by_role("button", name="Try again").click()
        says(page, "#bar-text", "It learns already.")


def test_learning_is_started_and_seen_in_an_image(page: Any, address: str) -> None:
    open_image(page, address, "beach/002")
    playwright.expect(page.locator("#learns")).to_be_hidden()
    progress = {"stage": "adapt", "share": 0.31, "left": 118.0}
    learning(page, {"state": "running"}, {"state": "running", "seconds": 42, "progress": progress}, {"state": "done"})
    page.keyboard.press("w")
    says(page, "#learns", "Learning for 42 s, about 2 minutes left")
    says(page, "#learn-state", "about 2 minutes left: learning from your masks, 31 %")
    says(page, "#bar", "The model has learned from your masks.")
    playwright.expect(page.locator("#learns")).to_be_hidden()


def test_how_many_masks_the_model_has_not_learned_from(page: Any, address: str) -> None:
    open_image(page, address, "beach/002")
    for _ in range(2):
        name = page.locator("#name").inner_text()
        page.keyboard.press("a")
        playwright.expect(page.locator("#saved")).to_contain_text(f"{name} is accepted.")
        page.locator("#editor:not([data-shows=''])[data-shows]").wait_for()
    page.keyboard.press("Escape")
    says(page, "#learn-count", "2 masks are accepted or corrected; the model has not learned from them yet.")


def test_filters_are_cleared_and_tiles_show_fused_masks(page: Any, address: str) -> None:
    page.goto(address)
    playwright.expect(page.locator("#clear")).to_be_hidden()
    page.fill("#find", "beach")
    page.locator("[data-state=rejected]").click()
    playwright.expect(page.locator("#none")).to_be_visible()
    page.locator("#clear").click()
    playwright.expect(page.locator(".tile")).to_have_count(4)
    playwright.expect(page.locator("#clear")).to_be_hidden()
    with page.expect_request("**/api/thumbnail*layer=fused*"):
        page.select_option("#tiles-show", "fused")


def test_the_bar_does_not_move_the_picture(page: Any, address: str) -> None:
    open_image(page, address, "beach/002")
    before = page.locator("#canvas").bounding_box()
    page.keyboard.press("w")
    says(page, "#bar-text", "there is nothing to learn from yet")
    assert page.locator("#canvas").bounding_box() == before
    bar, panel = page.locator("#bar").bounding_box(), page.locator("aside").bounding_box()
    assert bar["x"] + bar["width"] <= panel["x"]


def test_a_line_of_this_is_not_is_seen_while_its_tool_is_chosen(page: Any, address: str) -> None:
    open_image(page, address, "beach/002")
    before = colour(page)
    page.keyboard.press("x")
    box = page.locator("#canvas").bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2)
    says(page, "#undo", "Undo")
    assert colour(page) in ((0, 0, 0), (255, 255, 255))
    page.keyboard.press("b")
    page.mouse.move(0, 0)
    assert colour(page) == before  # it was background, and is
