"""The page in a real browser: what a person does, and what is there afterwards."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browsing import colour, edit_as_the_server_dies, loaded, middle, open_image, saved, shown, until
from ktse.files import read_label_map, write_label_map, write_npz
from ktse.run_folder import RunFolder
from reviewed_run import COLOURS, NAMES, SIZE, served

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
if not importlib.util.find_spec("uvicorn"):
    pytest.skip("needs the extra review", allow_module_level=True)


def test_a_person_corrects_a_mask_and_it_is_there_after_a_kill(page: Any, reviewed: RunFolder) -> None:
    name = "beach/002"
    draft, accepted = (reviewed.path("corrections", *parts, f"{name}.png") for parts in ((".drafts",), ()))
    folder = RunFolder(reviewed.root)
    original = folder.mask(name)
    with served(reviewed) as (process, address):
        page.goto(address)
        playwright.expect(page.locator(".tile")).to_have_count(4)
        page.locator("#start").click()
        playwright.expect(page.locator("#name")).to_have_text(name)  # the least confident
        loaded(page)
        page.locator("#threshold").focus()
        page.keyboard.press("End")  # nothing is above 1
        page.locator("#canvas").focus()
        saved(page)
        assert not read_label_map(draft).any()
        page.keyboard.press("z")
        playwright.expect(page.locator("#undo")).to_be_disabled()
        page.keyboard.press("b")
        page.mouse.move(*middle(page))
        page.mouse.down()
        page.mouse.move(middle(page)[0] + 20, middle(page)[1], steps=3)
        page.mouse.up()
        until(page, lambda: (shown(draft, 1) & (original == 0)).any())
        painted = read_label_map(draft)
        assert (painted[:, :12] == original[:, :12]).all()
        assert 0 < (painted != original).sum() < 60
        page.keyboard.press("z")
        until(page, lambda: not draft.exists())  # everything was undone
        page.keyboard.press("y")
        until(page, draft.exists)
        process.kill()
        process.wait()
    with served(reviewed) as (_, address):
        open_image(page, address, name)
        playwright.expect(page.locator("#facts .badge")).to_have_text("edited")
        page.keyboard.press("p")
        page.keyboard.press("a")  # the mask is not in sight
        playwright.expect(page.locator("#hint")).to_contain_text("This is the mask that you accept")
        page.keyboard.press("a")
        playwright.expect(page.locator("#name")).to_have_text("beach/001")  # the next one
        assert (read_label_map(accepted) == painted).all()
        assert not draft.exists()
        loaded(page)
        page.keyboard.press("r")
        playwright.expect(page.locator("#name")).to_have_text("park/003")
        page.keyboard.press("Escape")
        playwright.expect(page.locator("#states")).to_contain_text("corrected 1")
        playwright.expect(page.locator("#states")).to_contain_text("rejected 1")
        playwright.expect(page.locator(".tile .id").first).to_contain_text("park/003")  # what is left to decide
        page.locator("#learn summary").click()
        command = page.locator("#command").inner_text()
        assert command.endswith(f"--corrections {reviewed.path('corrections')}")
    assert (folder.mask(name) == original).all()


def test_a_shape_and_a_region_are_painted(page: Any, reviewed: RunFolder) -> None:
    image = Image.new("RGB", SIZE, (200, 40, 40))
    image.paste((40, 200, 40), (14, 2, 22, 14))
    image.save(reviewed.root.parent / "photos" / "beach" / "001.png")
    draft = reviewed.path("corrections", ".drafts", "beach", "001.png")
    with served(reviewed) as (_, address):
        open_image(page, address, "beach/001")
        page.keyboard.press("2")
        page.keyboard.press("g")
        page.mouse.click(*middle(page))
        saved(page)
        found = read_label_map(draft) == 2
        assert found[4:12, 16:20].all()
        assert not found[:, :12].any()
        assert not found[0].any()
        page.keyboard.press("z")
        page.keyboard.press("s")
        (x, y), step = middle(page), 100
        page.mouse.move(x - step, y - step)
        page.mouse.down()
        for place in ((x + step, y - step), (x + step, y + step), (x - step, y + step)):
            page.mouse.move(*place, steps=4)
        page.mouse.up()
        until(page, lambda: shown(draft, 2).any() and not shown(draft, 2)[found].all())
        painted = np.argwhere(shown(draft, 2))
        assert len(painted) > 3
        assert len(painted) >= np.prod(painted.max(0) - painted.min(0) + 1) - 4  # a rectangle, perhaps without corners
        page.keyboard.press("e")
        page.keyboard.press("b")
        page.mouse.click(x, y)
        until(page, lambda: 0 < shown(draft, 2).sum() < len(painted))


def test_a_line_says_what_is_there_and_the_mask_is_solved_again(page: Any, reviewed: RunFolder) -> None:
    image = Image.new("RGB", SIZE, (200, 40, 40))
    image.paste((40, 200, 40), (14, 2, 22, 14))
    image.save(reviewed.root.parent / "photos" / "beach" / "001.png")
    draft = reviewed.path("corrections", ".drafts", "beach", "001.png")
    with served(reviewed) as (_, address):
        open_image(page, address, "beach/001")
        page.keyboard.press("2")
        page.mouse.click(*middle(page))  # this is a ball
        until(page, lambda: shown(draft, 2).sum() > 60)
        assert shown(draft, 2)[3:13, 15:21].all()
        assert not shown(draft, 2)[:, :13].any()
        assert shown(draft, 1)[:, :12].all()
        page.keyboard.press("z")  # the line and what followed from it
        until(page, lambda: not draft.exists())
        page.keyboard.press("y")
        until(page, lambda: shown(draft, 2).sum() > 60)
        page.keyboard.press("1")
        page.keyboard.press("x")
        page.mouse.click(middle(page)[0] - 450, middle(page)[1])
        until(page, lambda: not shown(draft, 1)[6:10, 4:12].any())  # this is no dog
        assert shown(draft, 2)[3:13, 15:21].all()


def test_a_shape_is_drawn_by_its_corners(page: Any, reviewed: RunFolder) -> None:
    draft = reviewed.path("corrections", ".drafts", "beach", "001.png")
    with served(reviewed) as (_, address):
        open_image(page, address, "beach/001")
        page.keyboard.press("2")
        page.keyboard.press("s")
        x, y = middle(page)
        for across, down in ((-150, -150), (150, -150), (200, 200), (150, 150)):
            page.mouse.click(x + across, y + down)
            if (across, down) == (200, 200):
                page.keyboard.press("z")  # takes back this corner alone
        page.keyboard.press("Enter")
        until(page, lambda: shown(draft, 2).any())
        where = np.argwhere(shown(draft, 2))
        height, width = np.ptp(where, axis=0) + 1
        assert abs(height - width) <= 1
        assert abs(len(where) - height * width / 2) < height + width  # three corners: half of a square
        page.keyboard.press("z")
        until(page, lambda: not draft.exists())
        for across, down in ((-150, -150), (150, -150), (150, 150), (-150, -150)):  # the first one closes the line
            page.mouse.click(x + across, y + down)
        until(page, lambda: shown(draft, 2).sum() == len(where))
        page.mouse.click(x, y)
        page.keyboard.press("Escape")  # forgets the corner, and stays
        playwright.expect(page.locator("#name")).to_have_text("beach/001")


def test_the_mask_of_another_method_is_shown_and_taken(page: Any, reviewed: RunFolder) -> None:
    label = np.zeros(SIZE[::-1], np.uint8)
    label[:, 12:] = 1
    write_label_map(reviewed.path("other", "beach", "001.png"), label)
    draft = reviewed.path("corrections", ".drafts", "beach", "001.png")
    with served(reviewed) as (_, address):
        open_image(page, address, "beach/002")
        playwright.expect(page.locator("#view-other")).to_be_hidden()
        open_image(page, address, "beach/001")
        page.keyboard.press("j")
        playwright.expect(page.locator("#hint")).to_contain_text("Mask of the other method")
        page.keyboard.press("c")
        saved(page)
        assert (read_label_map(draft) == label).all()


def test_the_threshold_of_one_class_moves_alone(page: Any, reviewed: RunFolder) -> None:
    scores = np.zeros((2, 8, 12), np.uint8)
    scores[0, :, :6], scores[1, :, 6:] = 200, 100
    write_npz(reviewed.scores_path("beach/001"), keys=np.array([0, 1], np.int32), scores=scores)
    draft = reviewed.path("corrections", ".drafts", "beach", "001.png")
    with served(reviewed) as (_, address):
        open_image(page, address, "beach/001")
        page.locator("#cut").select_option(label="ball")
        page.locator("#threshold").focus()
        page.keyboard.press("Home")
        until(page, lambda: shown(draft, 2)[:, 14:].all())
        assert shown(draft, 1)[:, :10].all()
        page.locator("#threshold").focus()
        page.keyboard.press("End")
        until(page, lambda: not draft.exists())


def test_no_picture_is_shown_over_another_image(page: Any, reviewed: RunFolder) -> None:
    with served(reviewed) as (_, address):
        open_image(page, address, NAMES[1])
        late: list[Any] = []
        page.route("**/api/photo?id=beach%2F001*", lambda route: late.append(route))
        page.keyboard.press("n")  # beach/001, whose photo does not come yet
        playwright.expect(page.locator("#name")).to_have_text("beach/001")
        assert colour(page) == (0, 0, 0)  # nothing of the image before
        page.keyboard.press("n")
        playwright.expect(page.locator("#name")).to_have_text("park/003")
        loaded(page)
        for route in late:
            route.continue_()
        page.wait_for_timeout(300)
        page.keyboard.press("p")
        assert np.abs(np.subtract(colour(page), COLOURS[2])).max() < 12
        for _ in range(12):
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("ArrowRight")
            page.keyboard.press("ArrowRight")
            page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(500)
        shown = page.locator("#name").inner_text()
        page.keyboard.press("p")
        assert np.abs(np.subtract(colour(page), COLOURS[NAMES.index(shown)])).max() < 12


def test_two_tabs_do_not_overwrite_each_other(page: Any, browser: Any, reviewed: RunFolder) -> None:
    other = browser.new_page(viewport={"width": 1280, "height": 800})
    draft = reviewed.path("corrections", ".drafts", "beach", "001.png")
    with served(reviewed) as (_, address):
        for one in (page, other):
            open_image(one, address, "beach/001")
            one.keyboard.press("b")
        page.mouse.click(*middle(page))
        saved(page)
        mine = read_label_map(draft)
        other.keyboard.press("2")
        other.mouse.click(*middle(other))
        playwright.expect(other.locator("#bar")).to_contain_text("Somebody has changed this mask")
        assert (read_label_map(draft) == mine).all()
        other.get_by_role("button", name="Keep mine").click()
        saved(other)
        assert set(np.unique(read_label_map(draft))) == {0, 1, 2}
    other.close()


def test_an_edit_waits_for_a_server_that_is_away(page: Any, reviewed: RunFolder) -> None:
    draft = reviewed.path("corrections", ".drafts", "beach", "001.png")
    with served(reviewed) as (process, address):
        open_image(page, address, "beach/001")
        edit_as_the_server_dies(page, process)
        page.keyboard.press("n")  # nothing is left behind unsaved
        playwright.expect(page.locator("#saved")).to_have_text("Not saved")
        assert not draft.exists()
    with served(reviewed, int(address.rstrip("/").rpartition(":")[2])):
        page.get_by_role("button", name="Try again").click()
        saved(page)
        assert draft.exists()
        playwright.expect(page.locator("#bar")).to_be_hidden()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "light"), (400, "dark")])
def test_nothing_is_wider_than_the_window(browser: Any, reviewed: RunFolder, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 760}, color_scheme=scheme)
    with served(reviewed) as (_, address):
        page.goto(address)
        playwright.expect(page.locator(".tile").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#start").click()
        loaded(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("#accept", "#reject", "#skip"):
            playwright.expect(page.locator(name)).to_be_in_viewport(ratio=1)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    page.close()


def test_a_tag_is_corrected(page: Any, reviewed: RunFolder) -> None:
    with served(reviewed) as (_, address):
        open_image(page, address, "beach/001")
        chosen = page.locator("#classes [data-label]")
        assert chosen.all_inner_texts()[0].startswith("dog")
        page.get_by_label("Take away the tag dog").click()
        until(page, lambda: chosen.all_inner_texts()[0].startswith("ball"))
        until(page, lambda: page.locator("#saved").inner_text().startswith("Saved"))
        assert not (read_label_map(reviewed.path("corrections", ".drafts", "beach", "001.png")) == 1).any()
        page.get_by_role("button", name="Undo", exact=True).click()
        until(page, lambda: chosen.all_inner_texts()[0].startswith("dog"))
        until(page, lambda: not list(reviewed.path("corrections").rglob("*.png")))
        page.get_by_label("Add a tag").wait_for(state="detached")  # the image has both
        page.keyboard.press("Escape")
        playwright.expect(page.locator("#states")).to_be_visible()
        playwright.expect(page.locator("#learn")).to_be_hidden()  # the tags are as they were
        open_image(page, address, "beach/001")
        page.get_by_label("Take away the tag dog").click()
        until(page, lambda: chosen.all_inner_texts()[0].startswith("ball"))
        page.keyboard.press("Escape")
        page.locator("#learn-count").get_by_text("The tags of 1 image are changed").wait_for()
