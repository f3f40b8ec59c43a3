"""Near copies are found, those across the split first, and different images are left alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ktse.checking import near_copies as near_module
from ktse.checking.near_copies import ALIKE, CELLS, NearCopy, alike, layout, near_copy_warnings, nearest
from ktse.data.dataset import TaggedImages
from ktse.features.store import FrozenFeatures, Seen
from ktse.job import Job
from ktse.pipeline import CHECK, CLASSIFY
from ktse.recipe.load import load_recipe
from ktse.reporting.facts import gather
from ktse.run_folder import RunFolder
from typed import ktse

Found = tuple[TaggedImages, np.ndarray]


@pytest.fixture
def found() -> Found:
    """200 images of nothing in common, every tenth in validation; 0 ~ 7 with other tags, 20 ~ 33, 40 ~ 50."""
    rng = np.random.default_rng(0)
    shape = (200, 4, CELLS, CELLS)
    layouts = rng.normal(size=shape) * rng.uniform(0.1, 10, shape[1:]) + rng.normal(size=shape[1:]) * 100
    tags = np.ones((200, 1), dtype=bool)
    tags[7] = False
    for one, other, change in ((0, 7, 0.2), (20, 33, 0.1), (40, 50, 0.05)):
        layouts[other] = layouts[one] + change * layouts.std(axis=0) * rng.normal(size=shape[1:])
    names = tuple(f"{number:03}" for number in range(200))
    data = TaggedImages(Path(), tuple(f"{name}.png" for name in names), names, ("a",), tags, np.arange(200) % 10 == 0)
    order = np.argsort(data.validation, kind="stable")
    return data.take(order), layouts[order].astype(np.float32)


def test_those_across_the_split_come_first_and_the_one_in_validation_is_named_first(found: Found) -> None:
    data, layouts = found
    pairs = alike(layouts, data)
    assert [(pair.id, pair.like) for pair in pairs] == [("020", "033"), ("000", "007"), ("050", "040")]
    assert [pair.across for pair in pairs] == [True, True, False]
    assert [pair.tags_differ for pair in pairs] == [False, True, False]
    assert all(ALIKE <= pair.score <= 1 for pair in pairs)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_blocks_change_nothing(found: Found, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = found[1].astype(np.float64)
    mean, spread = layouts.mean(axis=0), layouts.std(axis=0)
    straight, mirrored = (((one - mean) / spread).reshape(200, -1) for one in (layouts, layouts[..., ::-1]))
    lengths = [np.linalg.norm(one, axis=1) for one in (straight, mirrored)]
    cosines = np.maximum(
        straight @ straight.T / np.outer(lengths[0], lengths[0]), straight @ mirrored.T / np.outer(*lengths)
    )
    np.fill_diagonal(cosines, -2)
    monkeypatch.setattr(near_module, "ROWS", rows)
    monkeypatch.setattr(near_module, "COLUMNS", 3 * rows + 1)
    for among in (range(150), range(150, 200)):
        likest, similarity = nearest(found[1], among)
        expected = cosines[:, among.start : among.stop]
        assert (likest == expected.argmax(axis=1) + among.start).all()
        np.testing.assert_allclose(similarity, expected.max(axis=1), atol=1e-4)
    assert (nearest(found[1], range(0))[1] == -2).all()


def test_the_pairs_stay_few_where_all_images_are_alike() -> None:
    names = tuple(map(str, range(60)))
    data = TaggedImages(Path(), names, names, ("a",), np.ones((60, 1), dtype=bool), np.arange(60) >= 50)
    rng = np.random.default_rng(0)
    layouts = np.repeat(rng.normal(size=(2, 4, 4, 4)), 30, axis=0) + 0.01 * rng.normal(size=(60, 4, 4, 4))
    assert 30 <= len(alike(layouts, data)) <= 120  # of 870 that are alike


def test_a_mirrored_image_is_a_near_copy_and_one_upside_down_is_not() -> None:
    drawn = torch.randn(30, 6, 4, 4, generator=torch.Generator().manual_seed(0)).repeat_interleave(5, -1)
    levels = [*drawn, drawn[3].flip(-1), drawn[5].flip(-2)]
    layouts = [layout(Seen([torch.zeros(1, 8, 40), level, level], torch.zeros(3, 1, 1))) for level in levels]
    assert layouts[0].shape == (6, CELLS, CELLS)
    likest, similarity = nearest(np.stack(layouts), range(30))
    assert likest[30] == 3
    assert similarity[30] > 0.9
    assert similarity[31] < ALIKE


def test_the_leak_is_said_first_and_counts_images() -> None:
    pairs = [
        NearCopy("a", "t1", True, False, 0.9),
        NearCopy("a", "t2", True, True, 0.8),
        NearCopy("x", "y", False, False, 0.9),
    ]
    first, second, third = near_copy_warnings(pairs, 20)
    assert first.startswith("near copies in training of 1 of 20 validation images, so that ")
    assert first.endswith(": a ~ t1, a ~ t2")
    assert second.endswith(": x ~ y")
    assert third.endswith("different tags: a ~ t2")
    assert near_copy_warnings([], 0) == []


@pytest.fixture
def with_copies(scenes: Path, tmp_path: Path) -> RunFolder:
    """A run on nine scenes, a file of the same content, and a compressed, slightly cropped photo in validation."""
    images = shutil.copytree(scenes / "images", tmp_path / "images")
    first, second = sorted(images.iterdir())[2:4]
    shutil.copy(first, images / f"same{first.suffix}")
    with Image.open(second) as scene:
        scene.convert("RGB").crop((3, 2, *scene.size)).save(images / "again.jpg", quality=60)
    table = (scenes / "tags.csv").read_text().rstrip("\n")
    tags = dict(line.rsplit(",", 1) for line in table.splitlines())
    tagged = {Path(name).stem: words for name, words in tags.items()}
    added = [f"same{first.suffix},{tagged[first.stem]}", f"again.jpg,{tagged[second.stem]}"]
    (tmp_path / "tags.csv").write_text("\n".join([table, *added]))
    (tmp_path / "held_out.txt").write_text("again\n")
    given = {"images": images, "tags": tmp_path / "tags.csv", "validation_list": tmp_path / "held_out.txt"}
    classify = {"backbone": "resnet10t", "weights": "none", "long_side": [96, 96], "epochs": 1, "warmup": 1}
    settings: dict[str, object] = {f"data.{name}": str(path) for name, path in given.items()}
    settings |= {f"classify.{name}": value for name, value in classify.items()} | {"compute.workers": 0}
    run = RunFolder(tmp_path / "run")
    job = Job(run, load_recipe("fast", settings))
    run.write_recipe(job.recipe)
    for stage in (CHECK, CLASSIFY):
        job.do(stage)
    return run


@pytest.mark.trains
def test_a_copy_in_validation_is_found_after_classify(with_copies: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    computed, compute = [], FrozenFeatures._compute

    def counted(self: FrozenFeatures, index: int) -> dict[str, np.ndarray]:
        computed.append(self.data.ids[index])
        return compute(self, index)

    monkeypatch.setattr(FrozenFeatures, "_compute", counted)
    found = json.loads(ktse("check", with_copies.root, "--json").stdout)
    assert computed == ["again"]  # the others were kept
    assert [(pair["id"], pair["like"], pair["across"]) for pair in found["near_copies"]] == [("again", "0003", True)]
    assert found["duplicates"] == [["0002", "same"]]
    assert found["warnings"][0].endswith(": again ~ 0003")
    assert with_copies.noticed()["near_copies"] == found["near_copies"]

    facts = gather(with_copies, Job(with_copies, with_copies.read_recipe()).data, None)
    assert facts.notes[0] == found["warnings"][0]

    shutil.rmtree(with_copies.path("features"))
    said = ktse("check", with_copies.root)
    assert len(computed) == 1 + 10  # all but the file of the same content
    assert "validation, the other in training" in " ".join(said.stdout.split())
    assert "near copies in training of 1 of 1 validation image" in said.stderr
    assert with_copies.noticed()["near_copies"] == found["near_copies"]
