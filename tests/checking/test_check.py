"""What check counts, what it warns of, and that its pass over the images is bounded and complete."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import open_folder
from fakes import TAGS, coco, draw, table, voc
from ktse import api
from ktse.checking import images as look_module
from ktse.checking.check import check_images
from ktse.checking.images import PART, look_at_all
from ktse.cli import main
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth, open_truth
from ktse.terminal.checked import show_checked


@pytest.fixture
def data(tmp_path: Path) -> TaggedImages:
    table(tmp_path, ".csv")
    return open_folder(tmp_path / "images", tmp_path / "tags.csv")


def test_counts_and_pairs_and_sizes(data: TaggedImages) -> None:
    checked = check_images(data)
    assert (checked.images, checked.untagged, checked.errors) == (10, 1, [])
    assert checked.classes == {name: sum(name in tags for tags in TAGS) for name in ("cat", "dog", "person")}
    assert checked.together[0][1] == checked.together[1][0] == 1
    assert checked.sizes == {"width": [72, 72, 72], "height": [60, 60, 60]}


def test_images_with_the_same_content_are_found_and_told_apart_by_their_tags(data: TaggedImages) -> None:
    for copy, original in (("004.jpg", "001.jpg"), ("005.jpg", "000.jpg")):  # the same tags, and other ones
        (data.root / copy).write_bytes((data.root / original).read_bytes())
    data = dataclasses.replace(data, validation=np.arange(10) == 4)
    checked = check_images(data)
    assert checked.duplicates == [["000", "005"], ["001", "004"]]
    text = "\n".join(checked.warnings)
    assert "2 images repeat the content of others" in text
    assert "1 group of equal images has different tags: 000 = 005" in text
    assert "1 group of equal images both in training and in validation: 001 = 004" in text


def test_strange_class_names_are_warned_of_and_shown_as_they_are(
    data: TaggedImages, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("Dog", "dog", "NaN", "['a' 'b']", "[/red]", ":dog:")
    tags = np.random.default_rng(0).random((10, len(names))) < 0.5
    checked = check_images(dataclasses.replace(data, classes=names, tags=tags))
    text = "\n".join(checked.warnings)
    assert "'Dog' and 'dog' look like one class" in text
    assert "a class is called 'NaN': an image without tags has an empty cell" in text
    assert "['a' 'b']\" and '[/red]' look like several tags" in text
    show_checked(checked)
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)
    bits = check_images(dataclasses.replace(data, classes=("0", "1"), tags=tags[:, :2]))
    assert any("the tags are 0 and 1" in warning for warning in bits.warnings)


@pytest.mark.parametrize(
    ("classes", "warned"),
    [
        (("cat", "cow", "cat cow"), "several tags in one? If so, give what stands between tags: --data.separator ' '"),
        (("cat", "cow", "Cow/cat"), "'Cow/cat': several tags in one?"),
        (("cat", "cow", "cat, clock"), "--data.separator ','"),
        (("cat", "cow", "cat food"), ""),
        (("traffic light", "light", "4x4"), ""),
    ],
)  # fmt: skip
def test_tags_that_were_not_split_are_warned_of(data: TaggedImages, classes: tuple[str, ...], warned: str) -> None:
    tags = np.random.default_rng(0).random((10, 3)) < 0.5
    text = "\n".join(check_images(dataclasses.replace(data, classes=classes, tags=tags)).warnings)
    assert ("several tags in one" in text) == bool(warned)
    assert warned in text


@pytest.mark.parametrize("training", [0, 1])
def test_nothing_is_learned_from_less_than_two_images(data: TaggedImages, training: int) -> None:
    checked = check_images(dataclasses.replace(data, validation=np.arange(10) >= training))
    assert ["to train on" in error for error in checked.errors] == [True]


def test_many_rare_classes_are_one_warning_and_one_page(data: TaggedImages, capsys: pytest.CaptureFixture[str]) -> None:
    tags = np.eye(10, 3000, dtype=bool) | (np.arange(3000) % 10 == np.arange(10)[:, None])
    tags[:, 2000:] = False
    names = tuple(f"class {number}" for number in range(3000))
    checked = check_images(dataclasses.replace(data, classes=names, tags=tags))
    assert "1,000 classes have no image" in checked.warnings[0]
    assert checked.warnings[1].startswith("2,000 classes have less than 10 images")
    assert max(map(len, checked.warnings)) < 1000
    show_checked(dataclasses.replace(checked, errors=[f"{number}.jpg cannot be read" for number in range(99)]))
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert "... and 69 more errors: --json prints all" in shown
    assert len(shown.splitlines()) < 120


def test_classes_that_nothing_tells_apart_are_warned_of(data: TaggedImages) -> None:
    tags = np.zeros((10, 4), dtype=bool)
    tags[:5, :2] = tags[:, 2] = tags[:3, 3] = True
    checked = check_images(dataclasses.replace(data, classes=("Wild dog", "wild_dog", "x", "Background"), tags=tags))
    text = "\n".join(checked.warnings)
    for part in (
        "'Wild dog' and 'wild_dog' are always together", "'Wild dog' and 'wild_dog' look like one class",
        "every image has the tag 'x'", "the class 'Background' has only 3 images", "a class is called 'background'",
    ):  # fmt: skip
        assert part in text


def test_masks_that_disagree_with_tags_are_named(data: TaggedImages, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for number, tags in enumerate(TAGS):
        label = np.zeros((60, 72), dtype=np.uint8)
        label[:5] = 255
        for place, name in enumerate(tags):
            label[10 + place] = data.classes.index(name) + 1
        label[40] = 3 if number == 0 else 0  # a person in the first image, which only has a dog
        label[label == (1 if number == 1 else 77)] = 0  # no cat in the second
        Image.fromarray(label).save(masks / f"{number:03d}.png")
    checked = check_images(data, open_truth(masks, data))
    assert checked.disagree == [
        {"id": "000", "only in tags": [], "only in mask": ["person"]},
        {"id": "001", "only in tags": ["cat"], "only in mask": []},
    ]
    assert "1 image lacks a tag of its mask: 000 (person)" in checked.warnings
    assert "1 image has a tag that its mask lacks: 001 (cat)" in checked.warnings


def test_many_images_are_looked_at_in_order_by_many_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_module, "PART", 4)
    sizes = [(10 + number, 20) for number in range(3 * PART)]
    for number, size in enumerate(sizes):
        Image.new("L", size).save(tmp_path / f"{number:03d}.png")
    files = tuple(f"{number:03d}.png" for number in range(len(sizes)))
    blank = np.zeros(len(sizes), dtype=bool)
    data = TaggedImages(tmp_path, files, files, ("a",), blank[:, None], blank)
    assert [found.size for found in look_at_all(data, workers=2)] == sizes


def test_the_command_says_what_is_wrong_with_files_and_goes_on_only_if_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["check", *table(tmp_path, ".csv")]
    assert main(arguments) == 0
    assert "10 images, 1 without tags" in capsys.readouterr().out
    photo = tmp_path / "images" / "003.jpg"
    photo.write_bytes(photo.read_bytes()[:700])
    (tmp_path / "images" / "004.jpg").write_bytes(b"")
    assert main([*arguments, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["unreadable"] == ["003", "004"]
    assert "003.jpg" in found["errors"][0]
    assert main([*arguments, "--skip-bad"]) == 0
    assert "warning: left out: 003.jpg" in " ".join(capsys.readouterr().err.split())


def test_masks_of_voc_and_coco_agree_with_their_tags_but_for_the_crowd(tmp_path: Path) -> None:
    tree = voc(tmp_path / "v")[0]
    masks = Path(tree) / "VOC2012" / "SegmentationClassAug"
    assert api.check(tree, masks=masks).disagree == []
    root = Path(coco(tmp_path / "c")[0])
    found = api.check(root, masks=root / "annotations" / "instances_train2014.json").disagree
    assert [(entry["only in tags"], entry["only in mask"]) for entry in found] == [(["person"], [])]


def test_skipping_images_does_not_skip_damaged_masks(data: TaggedImages, tmp_path: Path) -> None:
    (data.root / "003.jpg").write_bytes(b"")
    (tmp_path / "004.png").write_bytes(b"no mask")
    checked = check_images(data, Truth({"004": tmp_path / "004.png"}), skip_bad=True)
    assert checked.unreadable == ["003"]
    assert len(checked.errors) == 1
    assert "004.png" in checked.errors[0]


def test_a_run_skips_unreadable_images_if_told_to(tmp_path: Path) -> None:
    from ktse.job import Job
    from ktse.pipeline import CHECK
    from ktse.recipe import DataRecipe, Recipe
    from ktse.run_folder import RunFolder

    images, _, tags = table(tmp_path, ".csv")
    (tmp_path / "images" / "004.jpg").write_bytes(draw(("dog",), 1)[0].tobytes())
    job = Job(RunFolder(tmp_path / "run"), Recipe(data=DataRecipe(images=images, tags=tags, skip_bad=True)))
    job.do(CHECK)
    assert len(job.given.images) == 10
    assert len(job.data) == 9
    assert "004" not in job.data.ids
    assert job.state(CHECK) == "done"
