"""The refine stage with every chain, on CAMs that are known to be good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_scenes import HERE
from ktse.data.dataset import TaggedImages
from ktse.errors import RunError
from ktse.files import read_json, read_label_map, read_npz
from ktse.recipe import AffinityRecipe, RefineRecipe
from ktse.refinement.par import GROWTH, pixel_adaptive_refinement
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric
from ktse.stages.affinity import affinity
from ktse.stages.refine import enlarge, refine
from ktse.stages.refiners import crf_class_scores, soft_refiner

RECIPE = RefineRecipe(threshold=0.3)


def agreement(run: RunFolder, data: TaggedImages, scenes: Path) -> float:
    """Share of the pixels of the images with a CAM that are as in the true mask."""
    pairs = [
        (read_label_map(run.mask_path(name)), read_label_map(scenes / "masks" / f"{name}.png")) for name in data.ids
    ]
    return float(np.mean([(said == true).mean() for said, true in pairs[1:-1]]))


def true_boundary(data: TaggedImages, scenes: Path) -> Callable[..., torch.Tensor]:
    """A stand-in for the network that sees where the true mask changes."""
    edges = {}
    for index, name in enumerate(data.ids):
        true = torch.from_numpy(read_label_map(scenes / "masks" / f"{name}.png")).float()[None]
        # One pixel more than a cell, so that an object that ends between two cells has a boundary too.
        padded = torch.nn.functional.pad(true, (0, 1 + -true.shape[2] % 4, 0, 1 + -true.shape[1] % 4), mode="replicate")
        highest, lowest = (sign * torch.nn.functional.max_pool2d(sign * padded, 5, stride=4) for sign in (1, -1))
        edges[data.read(index).tobytes()] = (highest != lowest)[0].float()
    return lambda network, image, fabric: edges[image.tobytes()]


class TrueRegions(torch.nn.Module):
    """A stand-in for a SAM: whatever it is asked, it answers with each class's pixels, and all the others."""

    def __init__(self, data: TaggedImages, scenes: Path) -> None:
        super().__init__()
        self.labels = {
            data.read(index).tobytes(): torch.from_numpy(read_label_map(scenes / "masks" / f"{name}.png"))
            for index, name in enumerate(data.ids)
        }

    def forward(
        self, image: Image.Image, points: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int]
    ) -> torch.Tensor:
        label = self.labels[image.tobytes()][None, None].float()
        small = torch.nn.functional.interpolate(label, size, mode="nearest")[0, 0]
        assert (points[:, 0] < size[0]).all() and (points[:, 1] < size[1]).all()
        return torch.stack([small == value for value in small.unique()])


@pytest.mark.parametrize(
    "method",
    [(), ("par",), ("irn",), ("par", "irn"), ("crf",), ("par", "crf"), ("irn", "crf"), ("sam",), ("par", "sam", "crf")],
)
def test_every_chain_makes_good_masks_of_good_cams(
    run: RunFolder,
    data: TaggedImages,
    scenes: Path,
    method: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    tiny: AffinityRecipe,
) -> None:
    if "crf" in method:
        pytest.importorskip("pydensecrf", reason='needs the extra crf: pip install "ktse[crf]"')
    if "irn" in method:
        # Eight scenes teach no network where objects end.
        monkeypatch.setattr("ktse.stages.refiners.boundary", true_boundary(data, scenes))
        affinity(run, data, replace(tiny, epochs=1), HERE)
    if "sam" in method:
        monkeypatch.setattr("ktse.stages.refine.load_sam", lambda weights: TrueRegions(data, scenes))
    refine(run, data, replace(RECIPE, method=method), compute=HERE)  # type: ignore[arg-type]
    assert agreement(run, data, scenes) > 0.85
    summary = read_json(run.path("masks", "summary.json"))
    assert summary["threshold"] == (0.5 if "crf" in method else 0.3)
    assert run.path("scores").is_dir() == ("crf" in method)
    for index, name in enumerate(data.ids):
        mask, trusted = read_label_map(run.mask_path(name)), read_label_map(run.confident_path(name))
        assert mask.shape == trusted.shape == data.read(index).size[::-1]
        if data.tags[index].any():
            assert trusted.sum() == sum(count // 2 for count in np.unique(mask, return_counts=True)[1])
        else:
            assert not mask.any()
            assert trusted.all()


def test_a_sam_that_sees_the_objects_sharpens_the_masks(
    run: RunFolder, data: TaggedImages, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refine(run, data, replace(RECIPE, method=()), compute=HERE)
    before = agreement(run, data, scenes)
    monkeypatch.setattr("ktse.stages.refine.load_sam", lambda weights: TrueRegions(data, scenes))
    for path in run.path("masks").iterdir():
        path.unlink()
    refine(run, data, replace(RECIPE, method=("sam",)), compute=HERE)
    assert agreement(run, data, scenes) > max(0.97, before)


def test_a_sam_of_random_weights_leaves_the_seed_its_say(
    run: RunFolder, data: TaggedImages, scenes: Path, tiny_sam: Path
) -> None:
    refine(run, data, replace(RECIPE, method=()), compute=HERE)
    before = agreement(run, data, scenes)
    for path in run.path("masks").iterdir():
        path.unlink()
    refine(run, data, replace(RECIPE, method=("sam",), sam_weights=str(tiny_sam)), compute=HERE)
    assert before > agreement(run, data, scenes) > before - 0.15


def test_par_and_none_are_what_they_were(run: RunFolder, data: TaggedImages) -> None:
    """Scores of PAR are means of the CAM's, those of no refiner are the CAM itself."""
    fabric, image = make_fabric("fp32"), data.read(1)
    cam = torch.from_numpy(read_npz(run.seed_path(data.ids[1]))["cam"].astype(np.float32))
    plain = soft_refiner(replace(RECIPE, method=(), stride=4), fabric, None)(image, cam)
    torch.testing.assert_close(plain, cam)
    refined = soft_refiner(RECIPE, fabric, None)(image, cam)
    assert refined.shape[1:] == (-(-image.height // 2), -(-image.width // 2))
    assert 0 <= refined.min() <= refined.max() <= cam.max() + 1e-5


def test_a_small_thing_loses_less_of_its_peak_than_to_par_alone() -> None:
    """Both CAMs reach 1; in a texture, PAR alone leaves the small one's scores far below the large one's."""
    picture = np.random.default_rng(0).integers(60, 120, (96, 192, 3)).astype(np.uint8)
    cam = torch.zeros(2, 48, 96)
    cam[0, 20:23, 20:23], cam[1, 8:40, 56:88] = 1, 1
    image, fabric = Image.fromarray(picture), make_fabric("fp32")
    small = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    small = torch.nn.functional.interpolate(small, cam.shape[-2:], mode="bilinear", antialias=True)
    alone = pixel_adaptive_refinement(small, cam[None], RECIPE.iterations)[0].amax(dim=(1, 2)) / GROWTH**10
    assert alone[0] < 0.5 * alone[1]
    even = soft_refiner(replace(RECIPE, method=("par", "even")), fabric, None)(image, cam)
    torch.testing.assert_close(even.amax(dim=(1, 2)), alone**0.5)


def test_a_class_without_any_score_has_none_after_even() -> None:
    image, recipe = Image.fromarray(np.full((32, 32, 3), 90, np.uint8)), replace(RECIPE, method=("par", "even"))
    assert soft_refiner(recipe, make_fabric("fp32"), None)(image, torch.zeros(1, 8, 8)).abs().max() == 0


def test_a_large_image_is_refined_small_and_gets_a_mask_of_its_own_size(
    run: RunFolder, data: TaggedImages, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ktse.refinement.bands.BAND", 4 * 150 * 40)  # and is cut in bands of rows
    monkeypatch.setattr("ktse.stages.refine.REFINE_PIXELS", 4096)
    refine(run, data, RECIPE, compute=HERE)
    small = read_npz(run.scores_path(data.ids[1]))["scores"].shape[1:]
    assert 0.9 * 4096 < 4 * small[0] * small[1] < 1.1 * 4096  # at a stride of two
    assert agreement(run, data, scenes) > 0.8
    for index, name in enumerate(data.ids):
        mask, trusted = read_label_map(run.mask_path(name)), read_label_map(run.confident_path(name))
        assert mask.shape == trusted.shape == data.read(index).size[::-1]
        if mask.any():
            assert trusted.sum() == sum(count // 2 for count in np.unique(mask, return_counts=True)[1])


def test_the_threshold_cuts_where_the_crf_decides(data: TaggedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    after = generator.dirichlet(np.ones(4), (20, 30)).transpose(2, 0, 1)
    monkeypatch.setattr("ktse.stages.refiners.crf_scores", lambda image, planes, settings: after)
    scores = crf_class_scores(np.zeros((20, 30, 3), np.uint8), np.ones((3, 20, 30)), 0.3)
    label = np.where(scores.max(axis=0) > 0.5, scores.argmax(axis=0) + 1, 0)
    assert np.array_equal(label, after.argmax(axis=0))
    assert 0 <= scores.min() <= scores.max() <= 1


def test_a_background_score_of_zero_leaves_the_crf_numbers() -> None:
    pytest.importorskip("pydensecrf", reason='needs the extra crf: pip install "ktse[crf]"')
    scores = np.zeros((1, 20, 30), dtype=np.float32)
    scores[:, 5:15, 5:15] = 0.8
    after = crf_class_scores(np.zeros((20, 30, 3), np.uint8), scores, 0.0)
    assert np.isfinite(after).all()
    assert after[0, 10, 10] > after[0, 0, 0]


def test_the_crf_stage_is_the_crf_of_the_stored_scores(run: RunFolder, data: TaggedImages) -> None:
    pytest.importorskip("pydensecrf", reason='needs the extra crf: pip install "ktse[crf]"')
    recipe = replace(RECIPE, method=("par", "crf"))
    refine(run, data, recipe, compute=HERE)
    image = np.array(data.read(2))
    before = enlarge(read_npz(run.soft_scores_path(data.ids[2]))["scores"], image.shape[:2])
    expected = crf_class_scores(image, before, 0.3)
    label = np.where(expected.max(axis=0) > 0.5, np.flatnonzero(data.tags[2])[expected.argmax(axis=0)] + 1, 0)
    assert (read_label_map(run.mask_path(data.ids[2])) == label).mean() > 0.999


def test_the_walk_without_its_network_is_a_message(run: RunFolder, data: TaggedImages) -> None:
    with pytest.raises(RunError, match=r"affinity.model\.safetensors does not exist"):
        refine(run, data, replace(RECIPE, method=("irn",)), compute=HERE)


def test_the_sam_without_its_extra_or_weights_is_a_message(
    run: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ktse.models.sam.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r'pip install "ktse\[sam\]"'):
        refine(run, data, replace(RECIPE, method=("sam",)), compute=HERE)


def test_the_crf_without_its_extra_is_a_message(
    run: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    find: Callable[[str], object] = lambda name: None  # noqa: E731
    monkeypatch.setattr("ktse.refinement.dense_crf.find_spec", find)
    with pytest.raises(RunError, match="pydensecrf2"):
        refine(run, data, replace(RECIPE, method=("crf",)), compute=HERE)
