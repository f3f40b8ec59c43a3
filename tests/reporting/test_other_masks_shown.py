"""Masks of another method in the report: beside the run's own, with what was taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from read_page import LARGEST_PAGE, read

from ktse.errors import RunError
from ktse.files import read_label_map, write_json, write_label_map
from ktse.reporting.facts import gather
from ktse.reporting.gallery import gallery
from ktse.reporting.page import write_report
from ktse.stages.other_masks import other_path

TAKEN = ("bag", "hat")


@pytest.fixture
def second(judged: Any) -> Any:
    """A finished run whose masks take two classes from another method, which has masks of two thirds of the images."""
    made = judged("good")
    for name in made.data.ids[: 2 * len(made.data) // 3]:
        write_label_map(other_path(made.run, name), read_label_map(made.truth.paths[name]))
    iou = {name: [0.2, 0.9 if name in (*TAKEN, "skirt") else 0.1] for name in made.data.classes}
    shown = {name: 1 if name == "skirt" else 4 for name in made.data.classes}
    write_json(made.run.path("masks", "other.json"), {"iou": iou, "masks": 9, "shown": shown, "taken": list(TAKEN)})
    return made


def said(fake: Any) -> str:
    """The words of the page, with single spaces."""
    return " ".join(read(write_report(fake.run, fake.data, fake.truth)).words.split())


def test_the_other_mask_is_after_the_true_one_and_says_what_was_taken(second: Any) -> None:
    found = gallery(gather(second.run, second.data, second.truth))
    known = set()
    for shown in [*found["classes"], *found["look"]]:
        kinds = [one.kind for one in shown.pictures]
        assert kinds == ["photo", "cam", "mask", "truth", "other", "prediction"]
        other = shown.pictures[4]
        assert bool(other.source) == other_path(second.run, shown.image_id).is_file()
        if not other.source:
            assert other.words == "none for this image" and other.note == ""
            continue
        tags = [name for name, _ in shown.tags]
        for word, of in (("; not taken: ", set(tags) - set(TAKEN)), ("; taken: ", set(tags) & set(TAKEN))):
            part = f"; {other.note}".partition(word)[2].partition(";")[0]
            assert set(part.replace(" and ", ", ").split(", ")) - {""} == of
        assert other.words.startswith("Other mask: ") and other.words.endswith(other.note)
        known |= set(tags)
    assert known == set(second.data.classes)


def test_class_rows_prefer_images_that_have_an_other_mask(second: Any) -> None:
    facts = gather(second.run, second.data, second.truth)
    for k, shown in enumerate(gallery(facts)["classes"]):
        if (facts.has_other & second.data.tags[:, second.data.classes.index(shown.about)]).sum() > k:
            assert other_path(second.run, shown.image_id).is_file(), shown.about


def test_the_page_says_whose_masks_these_are_and_how_they_compare(second: Any) -> None:
    path = write_report(second.run, second.data, second.truth)
    page, table = read(path), said(second)
    assert path.stat().st_size < LARGEST_PAGE
    assert "made by another method (refine.other)" in page.words
    assert "The mask takes bag and hat from it" in page.words
    assert "bag 20.0 % 90.0 % 4 other" in table and "dress 20.0 % 10.0 % 4 own" in table
    assert "skirt 20.0 % 90.0 % 1 own: too few show it" in table
    assert all(image["alt"] for image in page.images)


def test_nothing_taken_is_said(second: Any) -> None:
    nothing = {name: [0.5, 0.5] for name in second.data.classes}
    shown = dict.fromkeys(second.data.classes, 3)
    write_json(second.run.path("masks", "other.json"), {"iou": nothing, "masks": 3, "shown": shown, "taken": []})
    words = said(second)
    assert "Nothing is taken from it" in words and "bag 50.0 % 50.0 % 3 own" in words


def test_a_run_without_other_masks_does_not_speak_of_them(finished: Any) -> None:
    page = read(write_report(finished.run, finished.data, finished.truth))
    assert "other method" not in page.words and "another method" not in page.words
    facts = gather(finished.run, finished.data, finished.truth)
    assert not facts.has_other.any() and facts.has_other.dtype == np.bool_


@pytest.mark.parametrize("content", [{"iou": {"bag": 1}, "shown": {}, "taken": []}, {"taken": []}, [1]])
def test_a_damaged_comparison_is_named(second: Any, content: Any) -> None:
    write_json(second.run.path("masks", "other.json"), content)
    with pytest.raises(RunError, match=r"other\.json is damaged"):
        write_report(second.run, second.data, second.truth)
