"""`ktse accept`: masks are marked as far as checked masks allow it, and nothing learns from the marks."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ktse
from ktse.data.edit_layer import EditLayer
from ktse.data.masks import open_corrections
from ktse.data.open import open_data
from ktse.errors import KtseError
from ktse.files import write_label_map, write_table
from ktse.quality.rest import rest_of
from ktse.recipe.load import load_recipe
from ktse.reviewing.order import by_gain
from ktse.run_folder import RunFolder
from ktse.runtime.lock import locked
from typed import ktse as typed

COUNT, CHECKED = 200, 100
NAMES = [f"{number:03}" for number in range(COUNT)]
RIGHT = np.repeat(np.array([[0, 0, 1, 1]], np.uint8), 4, axis=0)
"""What each photo shows."""
WRONG = np.repeat(np.array([[1, 0, 0, 1]], np.uint8), 4, axis=0)
"""A mask with an IoU of a third."""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """200 images with a dog; the masks of the less confident half are wrong."""
    for name in NAMES:
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", RIGHT.shape, (200, 40, 40)).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "tags.csv").write_text("image,tags\n" + "".join(f"{name}.png,dog\n" for name in NAMES))
    given = {"images": tmp_path / "photos", "tags": tmp_path / "tags.csv", "validation": 0.0}
    run = RunFolder(tmp_path / "run")
    run.write_recipe(
        load_recipe(
            "fast", {f"data.{name}": value if name == "validation" else str(value) for name, value in given.items()}
        )
    )
    run.write_classes(("dog",))
    for number, name in enumerate(NAMES):
        write_label_map(run.mask_path(name), RIGHT if number >= COUNT // 2 else WRONG)
    rows = [(name, f"{(number + 1) / (COUNT + 1):.4f}") for number, name in enumerate(NAMES)]
    write_table(run.path("masks", "confidence.csv"), ("id", "confidence"), rows)
    return run


def check(run: RunFolder, count: int) -> EditLayer:
    """A person corrects what the page shows first."""
    data = open_data(run.read_recipe().data)
    for index in by_gain(data, run.confidence("masks"), ())[:count]:
        write_label_map(run.path("corrections", f"{data.ids[index]}.png"), RIGHT)
    return EditLayer(run.path("corrections"), data.ids)


def states(run: RunFolder) -> dict[str, str]:
    edits = EditLayer(run.path("corrections"), NAMES, run.key("refine"))
    return {name: edits.entry(name).state for name in NAMES}


def test_what_is_confident_enough_is_accepted(run: RunFolder) -> None:
    person = set(check(run, CHECKED).decided())
    done = ktse.accept(run.root, risk=0.3)
    assert 0 < done.accepted < COUNT - CHECKED
    assert done.accepted + done.left + done.checked == COUNT
    assert done.checked == CHECKED
    accepted = {name for name, state in states(run).items() if state == "trusted"}
    assert len(accepted) == done.accepted
    assert not accepted & person
    bad = [name for name in accepted if int(name) < COUNT // 2]
    assert len(bad) <= 0.3 * len(accepted)
    assert done.accepted_iou is not None
    assert done.accepted_iou.middle > 0.7


def test_nothing_learns_from_what_was_accepted_unseen(run: RunFolder) -> None:
    person = check(run, CHECKED)
    before = rest_of(run, open_data(run.read_recipe().data))
    ktse.accept(run.root, risk=0.3)
    data = open_data(run.read_recipe().data)
    assert set(open_corrections(run.path("corrections"), data).paths) == set(person.decided())
    after = rest_of(run, data)
    assert after.sentence == before.sentence
    np.testing.assert_array_equal(after.iou, before.iou)
    assert CHECKED / 2 <= len(before.iou) < CHECKED


def test_the_same_again_replaces_the_marks(run: RunFolder) -> None:
    check(run, CHECKED)
    ktse.accept(run.root, risk=0.3)
    first = states(run)
    ktse.accept(run.root, risk=0.3)
    assert states(run) == first
    journal = run.path("corrections", "journal.jsonl").read_text().splitlines()
    assert len(journal) == list(first.values()).count("trusted")  # the second time changed nothing
    done = ktse.accept(run.root, risk=0.3, iou=0.1)  # a third is enough: all are good
    assert (done.accepted, done.left) == (COUNT - CHECKED, 0)
    none = ktse.accept(run.root, risk=0.1, iou=1)
    assert none.accepted == list(states(run).values()).count("trusted")


def test_a_person_s_word_stands_above(run: RunFolder) -> None:
    check(run, CHECKED)
    ktse.accept(run.root, risk=0.3, iou=0.1)
    marked = [name for name, state in states(run).items() if state == "trusted"]
    edits = EditLayer(run.path("corrections"), NAMES, run.key("refine"))
    edits.reject(marked[0], 1)
    edits.save_draft(marked[1], WRONG, 1)
    edits.accept(marked[2], RIGHT, 1, same=True)
    ktse.accept(run.root, risk=0.3, iou=0.1)
    found = states(run)
    assert [found[name] for name in marked[:4]] == ["rejected", "open", "accepted", "trusted"]


def test_marks_are_of_these_masks_only(run: RunFolder) -> None:
    check(run, CHECKED)
    ktse.accept(run.root, risk=0.3)
    assert "trusted" in states(run).values()
    run.record("refine", {"state": "done", "key": "another"})  # the masks were made again
    assert "trusted" not in states(run).values()


def test_too_few_checked_masks_are_a_message(run: RunFolder) -> None:
    with pytest.raises(KtseError, match=r"0 checked masks were drawn by chance, and a risk of 0\.1 needs 22"):
        ktse.accept(run.root)
    check(run, 20)
    with pytest.raises(
        KtseError, match=r"more of these. Every second image that the page shows is drawn by chance: ktse review"
    ):
        ktse.accept(run.root)
    assert set(states(run).values()) == {"open", "corrected"}
    for wrong in ({"risk": 0.0}, {"risk": 1.0}, {"iou": 0.0}, {"iou": 1.5}):
        with pytest.raises(KtseError, match="out of range"):
            ktse.accept(run.root, **wrong)
    with locked(run.path(".review")), pytest.raises(KtseError, match="is open"):
        ktse.accept(run.root)


def test_a_table_is_printed(run: RunFolder) -> None:
    check(run, CHECKED)
    done = typed("accept", run.root, "--risk", 0.3)
    assert done.returncode == 0, done.stderr
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:] for line in done.stdout.splitlines() if line.startswith("│")
    }
    assert list(rows) == ["accepted by ktse", "left", "checked by you"]
    assert rows["checked by you"][0].strip() == str(CHECKED)
    assert "It is 90% sure that at most 30% of the accepted masks" in " ".join(done.stdout.split())
    refused = typed(*shlex.split(f"accept {run.root} --risk 0.01"))
    assert refused.returncode == 1
    assert "too few masks were checked" in refused.stderr


def test_nothing_is_accepted_where_confident_masks_are_bad(run: RunFolder) -> None:
    for name in NAMES:
        write_label_map(run.mask_path(name), WRONG)
    check(run, CHECKED)
    done = ktse.accept(run.root)
    assert (done.accepted, done.accepted_iou) == (0, None)
    assert "of the 22 most confident of" in done.why
    assert "22 are bad (IoU below 0.5)" in done.why
    assert "trusted" not in states(run).values()
