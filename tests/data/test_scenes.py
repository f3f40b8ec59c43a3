"""The demo scenes: what is written, that it repeats, and that nothing half-made is left."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ktse.data.demo.scenes import CLASSES, make_scenes

IMAGES = 50  # scene 44 is the first without a toy
SIZE = (72, 64)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def read_tags(folder: Path) -> dict[str, list[str]]:
    with (folder / "tags.csv").open(encoding="utf-8", newline="") as file:
        return {row["image"]: row["tags"].split(";") if row["tags"] else [] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "nested" / "scenes"
    make_scenes(folder, images=IMAGES, size=SIZE)
    return folder


def test_writes_every_file(scenes: Path) -> None:
    names = [f"{index:04d}" for index in range(IMAGES)]
    assert sorted(p.name for p in (scenes / "images").iterdir()) == [f"{name}.jpg" for name in names]
    assert sorted(p.name for p in (scenes / "masks").iterdir()) == [f"{name}.png" for name in names]
    assert (scenes / "tags.csv").read_text(encoding="utf-8").startswith("image,tags\n")
    assert list(read_tags(scenes)) == [f"{name}.jpg" for name in names]
    assert (scenes / "classes.txt").read_text(encoding="utf-8").split() == list(CLASSES)
    assert len(set(CLASSES)) == 5
    assert list(scenes.parent.iterdir()) == [scenes]


def test_tags_are_exactly_the_classes_in_the_mask(scenes: Path) -> None:
    for name, tags in read_tags(scenes).items():
        mask = np.asarray(Image.open(scenes / "masks" / name.replace(".jpg", ".png")))
        assert mask.dtype == np.uint8
        assert [CLASSES[label - 1] for label in np.unique(mask) if label > 0] == tags


def test_images_and_masks_agree_in_size_and_sizes_differ(scenes: Path) -> None:
    sizes = set()
    for path in (scenes / "images").iterdir():
        with Image.open(path) as image, Image.open(scenes / "masks" / f"{path.stem}.png") as mask:
            assert image.mode == "RGB"
            assert mask.mode == "P"
            assert image.size == mask.size
            sizes.add(image.size)
    assert len(sizes) > IMAGES // 2
    assert any(width < height for width, height in sizes)
    assert all(0.84 * min(SIZE) <= side <= 1.16 * max(SIZE) for size in sizes for side in size)


def test_some_images_are_empty_and_every_class_occurs(scenes: Path) -> None:
    tags = list(read_tags(scenes).values())
    assert 0 < sum(not row for row in tags) < IMAGES // 5
    assert all(len(row) <= 3 for row in tags)
    for name in CLASSES:
        assert 0.15 < np.mean([name in row for row in tags]) < 0.65


def test_a_tagged_class_is_large_enough_to_see(scenes: Path) -> None:
    for path in (scenes / "masks").iterdir():
        mask = np.asarray(Image.open(path))
        counts = np.bincount(mask.ravel())[1:]
        assert (counts[counts > 0] > 0.01 * mask.size).all()


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_scenes(tmp_path / name, images=5, size=SIZE, random_seed=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_scene_does_not_depend_on_the_number_of_images(scenes: Path, tmp_path: Path) -> None:
    make_scenes(tmp_path / "few", images=4, size=SIZE)
    few, many = contents(tmp_path / "few"), contents(scenes)
    drawn = [name for name in few if name.endswith((".jpg", ".png"))]
    assert len(drawn) == 8
    assert all(few[name] == many[name] for name in drawn)
    assert many["tags.csv"].startswith(few["tags.csv"])


def test_another_seed_gives_other_scenes(scenes: Path, tmp_path: Path) -> None:
    make_scenes(tmp_path / "other", images=2, size=SIZE, random_seed=1)
    assert (tmp_path / "other/masks/0000.png").read_bytes() != (scenes / "masks/0000.png").read_bytes()


def test_a_second_call_does_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()  # an empty folder is as good as none
    make_scenes(folder, images=2, size=SIZE)
    (folder / "tags.csv").write_text("touched", encoding="utf-8")
    make_scenes(folder, images=2, size=SIZE, progress=lambda done: pytest.fail(f"drew image {done}"))
    assert (folder / "tags.csv").read_text(encoding="utf-8") == "touched"


@pytest.mark.parametrize("other", [{"images": 3}, {"random_seed": 1}, {"size": (64, 72)}])
def test_refuses_scenes_made_with_other_arguments(tmp_path: Path, other: dict[str, object]) -> None:
    arguments: dict[str, object] = {"images": 2, "size": SIZE, "random_seed": 0}
    make_scenes(tmp_path / "scenes", **arguments)  # type: ignore[arg-type]
    before = contents(tmp_path / "scenes")
    with pytest.raises(FileExistsError, match="holds"):
        make_scenes(tmp_path / "scenes", **{**arguments, **other})  # type: ignore[arg-type]
    assert contents(tmp_path / "scenes") == before


def test_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match="no finished scenes"):
        make_scenes(tmp_path, images=1, size=SIZE)
    assert contents(tmp_path) == {"thesis.tex": b"precious"}


def test_an_interrupted_call_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path / "scenes", images=5, size=SIZE, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_reports_progress(tmp_path: Path) -> None:
    seen: list[int] = []
    make_scenes(tmp_path / "scenes", images=3, size=SIZE, progress=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("wrong", [{"images": 0}, {"size": (160, 20)}, {"random_seed": -1}])
def test_rejects_arguments_out_of_range(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="images >= 1"):
        make_scenes(tmp_path / "scenes", **wrong)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
