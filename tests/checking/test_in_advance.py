"""How much disk a run takes: near what a run really took, in the right proportions, and refused where it is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ktse
from ktse import pipeline
from ktse.checking.in_advance import (
    LIBRARIES,
    batches_that_fit,
    check_disk,
    detail,
    disk_need,
    in_memory,
    memory_need,
    memory_said,
    seconds_need,
    smallest_object,
)
from ktse.checking.in_advance import maps_need as need_of
from ktse.errors import RunError
from ktse.pipeline import stages_of
from ktse.recipe import Recipe
from ktse.recipe.load import load_recipe
from ktse.run_folder import RunFolder
from ktse.staleness import Extent

TINY = {
    "classify.epochs": 2, "classify.warmup": 1, "affinity.epochs": 1, "segment.epochs": 1, "compute.workers": 0,
    "seed.scales": [0.5], "predict.scales": [0.5],
    "refine.method": ["irn"],
}  # fmt: skip


SEEN = Extent(6, 5, 3, 6 * 500 * 375, 12 * 500 * 375, 500)


def maps_need(images: int, classes: int, pixels: int, tagged_pixels: int, recipe: Recipe) -> dict[str, int]:
    return need_of(stages_of(recipe), Extent(images, images, classes, pixels, tagged_pixels), recipe)


def network_need(stage: str, recipe: Recipe, training: int = 10) -> int:
    return pipeline.STAGES[stage].costs.networks(Extent(training, training, 3, 0, 0), recipe)


def photos(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Pictures with the grain and the smooth shapes of photos, and a table of one to three tags each."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = ["image,tags"]
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        grain = rng.normal(0, 6, (size[1], size[0], 3))
        Image.fromarray((np.asarray(small) + grain).clip(0, 255).astype(np.uint8)).save(
            folder / "images" / f"{number}.jpg"
        )
        rows.append(f"{number}.jpg,{';'.join(('cat', 'dog', 'cow')[: 1 + number % 3])}")
    (folder / "tags.csv").write_text("\n".join(rows))
    return folder


def held(path: Path) -> int:
    """Bytes in blocks of 4096, as most file systems count them."""
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    return sum(-(-size // 4096) * 4096 for size in sizes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = photos(tmp_path_factory.mktemp("data") / "photos", 6, (500, 375))
    out = tmp_path_factory.mktemp("runs") / "run"
    return ktse.run(folder / "images", tags=folder / "tags.csv", out=out, recipe="demo", weights="none", settings=TINY)


def test_a_run_takes_about_what_was_said(finished: RunFolder) -> None:
    recipe = finished.read_recipe()
    checked = json.loads(finished.path("check.json").read_text())
    assert checked["pixels"] == 6 * 500 * 375
    assert checked["tagged_pixels"] == (2 * 1 + 2 * 2 + 2 * 3) * 500 * 375
    maps = maps_need(6, 3, checked["pixels"], checked["tagged_pixels"], recipe)
    networks = {name: network_need(name, recipe, 6 - checked["validation"]) for name in pipeline.STAGES}
    for name in ("seeds", "masks", "confident", "predictions"):  # maps of so young networks are smooth, and pack well
        assert maps[name] / 4 < held(finished.path(name)) < 1.5 * maps[name], name
    assert networks["segment"] / 2 < held(finished.path("segment")) < networks["segment"]
    assert networks["classify"] / 2 < held(finished.path("classify")) < networks["classify"]
    both = maps["affinity"] + networks["affinity"]
    assert both / 2 < held(finished.path("affinity")) < 2 * both
    extent = Extent(6, 6 - checked["validation"], 3, checked["pixels"], checked["tagged_pixels"])
    total = disk_need(stages_of(recipe), extent, recipe)
    assert total / 2 < held(finished.root) < 1.5 * total


def test_maps_grow_with_tagged_pixels_and_not_with_classes() -> None:
    recipe = load_recipe("coco14-official")
    pixels = 82_000 * 640 * 480
    coco = maps_need(82_000, 80, pixels, round(2.9 * pixels), recipe)
    twice = maps_need(82_000, 80, pixels, round(5.8 * pixels), recipe)
    assert 1.7 < twice["seeds"] / coco["seeds"] < 2
    assert twice["predictions"] == coco["predictions"]
    many = maps_need(82_000, 160, pixels, round(2.9 * pixels), recipe)
    assert sum(many.values()) < 1.01 * sum(coco.values())
    full_size = 2.9 * pixels * 4  # what the tagged classes' CAMs alone take as plain floats
    assert sum(coco.values()) < full_size / 8
    finer = maps_need(82_000, 80, pixels, round(2.9 * pixels), load_recipe("coco14-official", {"seed.stride": 2}))
    assert 3 < finer["seeds"] / coco["seeds"] < 4.1


def test_stages_that_are_not_done_take_nothing() -> None:
    par, chain = (
        maps_need(10, 3, 10**6, 10**6, load_recipe("fast", {"refine.method": method}))
        for method in (["par"], ["irn", "crf"])
    )
    assert chain.keys() - par.keys() == {"affinity", "scores"}
    one, two = (network_need("segment", load_recipe("demo", {"segment.method": name})) for name in ("single", "beco"))
    assert 1.9 < two / one < 2.1


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def pretend(count: int) -> None:
        usage = shutil.disk_usage("/")._replace(free=count)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    return pretend


def test_too_little_is_refused_and_scarcely_enough_is_said(tmp_path: Path, free: Callable[[int], None]) -> None:
    out = tmp_path / "not" / "there"
    free(3 * 10**9)
    assert check_disk(out, 2 * 10**9) == "the run folder will take about 2.0 GB of disk; 3.0 GB are free"
    assert check_disk(out, 4 * 10**9).endswith("this may not be enough")
    with pytest.raises(RunError, match=r"about 7\.0 GB of disk; 3\.0 GB are free") as caught:
        check_disk(out, 7 * 10**9)
    assert "--out" in caught.value.hint


def test_what_is_there_already_counts(tmp_path: Path, free: Callable[[int], None]) -> None:
    free(10**6)
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "a.npz").write_bytes(bytes(5 * 10**6))
    assert "not be enough" not in check_disk(tmp_path, 6 * 10**6)


def test_a_run_says_it_once_and_a_finished_one_does_not(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    log = finished.path("log.txt").read_text()
    assert log.count("of disk;") == log.count(detail(smallest_object(SEEN, finished.read_recipe()), 500)) == 1
    ktse.run(
        finished.read_recipe().data.images, tags=finished.read_recipe().data.tags, out=finished.root, recipe="demo",
        weights="none", settings=TINY,
    )  # fmt: skip
    said = capsys.readouterr().err
    assert "of disk" not in said
    assert "usually lost" not in said


def test_a_run_without_room_is_refused_before_training(
    finished: RunFolder, tmp_path: Path, free: Callable[[int], None]
) -> None:
    free(10**6)
    data = finished.read_recipe().data
    with pytest.raises(RunError, match="are free"):
        ktse.run(data.images, tags=data.tags, out=tmp_path / "run", recipe="demo", weights="none", settings=TINY)
    assert not (tmp_path / "run" / "classify").exists()


def test_check_says_it_for_a_recipe(finished: RunFolder) -> None:
    data = finished.read_recipe().data
    command = [
        sys.executable,
        "-m",
        "ktse.cli",
        "check",
        data.images,
        "--tags",
        data.tags,
        "--recipe",
        "voc12-official",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert said.returncode == 0, said.stderr
    text = " ".join((said.stdout + said.stderr).split())
    assert "disk: a run will keep about" in text
    assert f"detail: {detail(8, 500)}" in text  # two cells of 8 pixels at twice the image's size
    plain = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, timeout=100)
    need = json.loads(plain.stdout)["disk"]
    assert need.keys() == {"seeds", "masks", "confident", "predictions", "affinity"}
    assert json.loads(plain.stdout)["seconds"] > 0
    assert json.loads(plain.stdout)["smallest"] == 8
    assert "memory: at its peak a run will take about" in " ".join((said.stdout + said.stderr).split())
    assert json.loads(plain.stdout)["memory"] > 10**10  # a batch of ResNet-38 at 448 pixels, three passes


def test_a_slower_machine_takes_longer_and_what_is_done_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, extent = load_recipe("fast"), Extent(1000, 900, 5, 10**8, 10**8)
    monkeypatch.setattr("ktse.runtime.pace.pace", lambda: 1.0)
    stages = stages_of(recipe)
    once = seconds_need(stages, extent, recipe)
    assert seconds_need(stages[2:], extent, recipe) < once
    assert seconds_need(stages, replace(extent, images=2000, training=1800), recipe) > 1.9 * once
    monkeypatch.setattr("ktse.runtime.pace.pace", lambda: 3.0)
    assert seconds_need(stages, extent, recipe) == pytest.approx(3 * once)


def test_scores_of_large_images_do_not_grow_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (maps_need(10, 3, 10 * side**2, 20 * side**2, Recipe()) for side in (2048, 8192))
    assert small["seeds"] == large["seeds"]
    assert large["confident"] > 10 * small["confident"]
    monkeypatch.setattr("ktse.stages.costs.SEED_PIXELS", 8192**2)
    assert maps_need(10, 3, 10 * 8192**2, 20 * 8192**2, Recipe())["seeds"] > 50 * large["seeds"]


@pytest.mark.parametrize(
    ("side", "settings", "smallest"),
    [
        (360, {}, 20),  # two cells of 16 pixels, seen at 1.5 x 384 = 576
        (360, {"seed.scales": [1.0]}, 30),
        (360, {"seed.scales": [2.0], "classify.levels": 3}, 8),  # the third level has a stride of 8
        (3600, {}, 200),
        (3600, {"seed.long_side": 0}, 65),  # its own size, but no more than a megapixel, 1.5 times as large
        (0, {}, 0),  # before check
    ],
)
def test_the_smallest_object_follows_from_the_settings(side: int, settings: dict[str, object], smallest: int) -> None:
    pixels = 100 * side * side * 3 // 4
    assert smallest_object(Extent(100, 90, 3, pixels, pixels, side), load_recipe("fast", settings)) == smallest


def test_memory_grows_with_batch_and_crop_and_names_what_to_lower() -> None:
    extent = Extent(1000, 900, 5, 10**8, 10**8)

    def need(**settings: object) -> tuple[int, str]:
        recipe = load_recipe("demo", {f"segment.{name}": value for name, value in settings.items()})
        return memory_need([pipeline.STAGES["segment"]], extent, recipe)

    small, batch, crop = need(batch_size=8, crop=96), need(batch_size=64, crop=96), need(batch_size=8, crop=384)
    assert "segment.batch_size" in small[1]
    assert batch[0] - small[0] > 7 * 8 * 96**2 * 100
    assert crop[0] > batch[0]


def test_batches_that_fit_the_memory_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    extent, stages = Extent(1000, 900, 5, 10**8, 10**8), list(pipeline.STAGES.values())
    given = {"segment.batch_size": 64, "classify.batch_size": 64, "classify.warmup_batch_size": 16}
    recipe = load_recipe("demo", given)
    monkeypatch.setattr("ktse.runtime.memory.memory_there", lambda: round(LIBRARIES + 4e8))
    need, said = memory_said(stages, extent, recipe)
    assert need > LIBRARIES + 4e8
    settings = said.partition("These would fit, with a lower lr: ")[2].split()
    smaller = {name.removeprefix("--"): int(size) for name, size in zip(settings[::2], settings[1::2], strict=True)}
    fitting = load_recipe("demo", given | smaller)
    assert memory_need(stages, extent, fitting)[0] <= LIBRARIES + 4e8
    twice = {name: min(given[name], 2 * size) for name, size in smaller.items()}
    assert (
        memory_need(stages, extent, load_recipe("demo", given | twice))[0] > LIBRARIES + 4e8
    )  # no smaller than needed
    assert batches_that_fit(stages, extent, recipe, round(LIBRARIES)) == ""


def test_less_memory_than_needed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ktse.runtime.memory.memory_there", lambda: 8 * 10**9)
    assert in_memory(3 * 10**9, "a.b") == "at its peak a run will take about 3.0 GB of memory; there are 8.0 GB"
    assert in_memory(9 * 10**9, "a.b").endswith("8.0 GB: this will hardly be enough. Lower a.b")
    monkeypatch.setattr("ktse.runtime.memory.memory_there", lambda: None)
    assert in_memory(9 * 10**9, "a.b") == "at its peak a run will take about 9.0 GB of memory"
