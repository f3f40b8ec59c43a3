"""How good the rest of a run is: which checked masks count, and where it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ktse
from ktse.data.dataset import TaggedImages
from ktse.data.edit_layer import EditLayer
from ktse.data.open import open_data
from ktse.files import write_label_map
from ktse.quality.expected import by_chance
from ktse.quality.rest import rest_from, rest_of
from ktse.run_folder import RunFolder
from reviewed_run import NAMES, SIZE

DOG, BALL, UNDECIDED = (np.full(SIZE[::-1], label, np.uint8) for label in (1, 2, 255))


def tagged(count: int) -> tuple[TaggedImages, dict[str, float], list[str]]:
    """Images with a tag, confidences, and the order of chance."""
    ids = tuple(f"{number:03}" for number in range(count))
    data = TaggedImages(Path(), ids, ids, ("dog",), np.ones((count, 1), dtype=bool), np.zeros(count, dtype=bool))
    return data, {name: (place + 1) / (count + 1) for place, name in enumerate(ids)}, [ids[i] for i in by_chance(ids)]


def test_only_what_was_drawn_by_chance_counts() -> None:
    data, confidence, chance = tagged(100)
    chosen = [name for name in data.ids if name not in chance[:12]][:10]
    judged = dict.fromkeys(chance[:12], 0.6) | dict.fromkeys(chosen, 0.1)
    rest = rest_from(data, confidence, judged)
    assert sorted(rest.confidence) == sorted(confidence[name] for name in chance[:12])
    assert (rest.iou == 0.6).all()
    assert (rest.checked, len(rest.apart), len(rest.others)) == (22, 10, 78)
    assert rest.mean is not None
    assert rest.mean.middle == pytest.approx((88 * 0.6 - 10 * 0.1) / 78)
    assert rest.sentence.startswith("expected mIoU of the rest 0.66 (0.")
    assert rest.sentence.endswith("78 masks, from 12 checked masks that were drawn by chance")
    alone = rest_from(data, confidence, dict.fromkeys(data.ids[:20], 0.1))
    assert alone.mean is None
    assert "not known yet" in alone.sentence
    assert alone.each == {}
    assert rest_from(data, confidence, {}).sentence == ""
    assert rest_from(data, confidence, dict.fromkeys(data.ids, 0.5)).sentence == ""


def test_undecided_masks_are_no_evidence_and_no_gap() -> None:
    data, confidence, chance = tagged(100)
    rest = rest_from(data, confidence, dict.fromkeys(chance[:20], 0.6) | dict.fromkeys(chance[:5], float("nan")))
    assert (len(rest.iou), rest.checked, len(rest.others)) == (15, 20, 80)


def test_the_masks_of_the_run_are_compared_with_those_of_the_person(reviewed: RunFolder) -> None:
    data = open_data(reviewed.read_recipe().data)
    edits = EditLayer(reviewed.path("corrections"), data.ids)
    edits.accept("beach/001", reviewed.mask("beach/001"), 0, same=True)
    edits.accept("beach/002", DOG, 0, same=False)  # the mask of the run has the left half alone
    edits.reject("park/003", 0)
    edits.accept("none", DOG * 0, 0, same=True)  # its mask is empty whatever happens
    found = rest_of(reviewed, data)
    iou = dict(zip(found.confidence.tolist(), found.iou.tolist(), strict=True))
    assert iou == {0.9: 1.0, 0.2: 0.5, 0.5: 0.0}
    assert (found.checked, found.others) == (3, {})
    write_label_map(reviewed.mask_path("beach/002"), DOG)  # made again: what was compared is compared again
    assert sorted(rest_of(reviewed, data).iou) == [0, 1, 1]
    write_label_map(reviewed.mask_path("beach/002"), DOG[1:])  # of another size: no evidence
    edits.accept("beach/001", UNDECIDED, 1, same=False)
    assert rest_of(reviewed, data).iou.tolist() == [0]


def test_a_class_too_many_counts(reviewed: RunFolder) -> None:
    both = np.where(np.arange(SIZE[0]) < 12, 1, 2).astype(np.uint8) * np.ones_like(DOG)
    write_label_map(reviewed.mask_path("beach/001"), both)
    edits = EditLayer(reviewed.path("corrections"), NAMES)
    edits.accept("beach/001", np.where(both == 1, both, 0), 0, same=False)
    data = open_data(reviewed.read_recipe().data)
    assert rest_of(reviewed, data, edits).apart[:, 1].tolist() + rest_of(reviewed, data, edits).iou.tolist() == [0.5]


def test_status_says_it(reviewed: RunFolder) -> None:
    assert ktse.status(reviewed.root).rest == ""
    edits = EditLayer(reviewed.path("corrections"), NAMES)
    edits.accept("beach/002", DOG, 0, same=False)
    edits.accept("beach/001", DOG, 0, same=False)
    known = "not known yet; it needs 10 checked masks that were drawn by chance, and has 2"
    assert known in ktse.status(reviewed.root).rest
