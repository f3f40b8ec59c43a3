"""The official recipes: every number of the method stands in them, and the whole job runs to its end with them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from fakes import COLOURS, TAGS, coco, draw, voc, voc_mask, voc_xml
from ktse.data.dataset import TaggedImages
from ktse.method.objective import Batch
from ktse.models.cam_head import LEVELS
from ktse.models.deeplab import DILATIONS as ASPP_DILATIONS
from ktse.models.deeplab import DROPOUT as ASPP_DROPOUT
from ktse.models.resnet38 import DROPOUT as BOTTLENECK_DROPOUT
from ktse.models.segmenter import Segmenter
from ktse.recipe import COMPUTE, ClassifyRecipe, Recipe
from ktse.recipe.load import load_recipe, to_dict
from ktse.refinement.dense_crf import FOR_PREDICTIONS, FOR_SEEDS
from ktse.refinement.par import DILATIONS as PAR_DILATIONS
from ktse.reporting.curves import TERMS
from ktse.segmentation.beco import BOUNDARY
from ktse.stages.affinity import HALF
from ktse.stages.affinity import OUTPUT_STRIDE as AFFINITY_STRIDE
from ktse.stages.affinity import WEIGHT_DECAY as AFFINITY_DECAY
from ktse.stages.classify import HIDDEN, ClassifyTask, build
from ktse.stages.segment_task import JITTER
from ktse.stages.segment_task import MOMENTUM as SEGMENT_MOMENTUM
from ktse.training.task import POWER, State, parameter_groups
from typed import ktse

NUMBERS: dict[str, dict[str, Any]] = {
    "1 network": {
        "classify.backbone": "resnet38d", "classify.output_stride": 8,
        "classify.frozen_stages": 4, "classify.batch_norm": "frozen",
    },
    "2 losses": {
        "classify.objective.weights": {
            "classification": 1.0, "transfer": 1.0, "background": 1.0, "foreground": 0.0125, "inter_class": 0.005,
            "stitched_background": 1.0, "stitched_foreground": 0.0125, "global_alignment": 1.0, "local_alignment": 1.0,
            "erased_classification": 0.0, "attraction": 0.0, "repulsion": 0.0,
        },
        "classify.objective.margin": 0.05, "classify.objective.background_high": 0.3,
        "classify.objective.background_low": 0.15, "classify.objective.inter_above": 0.2,
        "classify.objective.erase_above": 0.6, "classify.objective.stitch": "height",
        "classify.objective.pairs": 4 / 16, "classify.objective.erased": 1.0,
        "classify.objective.partner": "same-tag", "classify.objective.cutmix": 0.0,
        "classify.objective.channels": "all", "classify.objective.foreground_images": "single-tag",
        "classify.objective.inter_classes": "all",
        "classify.objective.empty_cam": "published", "classify.objective.par_iterations": 10,
    },
    "3 schedule": {
        "classify.epochs": 40, "classify.warmup": 10, "classify.warmup_batch_size": 8, "classify.batch_size": 16,
        "classify.long_side": [256, 512], "classify.crop": 320, "classify.weight_decay": 5e-4, "classify.lr": 0.01,
        "classify.momentum": 5e-4, "classify.momentum_after": 5e-4, "classify.head_lr": 1.0,
        "classify.lr_after": 1.0, "classify.schedule": "warmup-batch", "classify.ramp": 0.0,
        "compute.precision": "fp32",
    },
    "4 seeds": {"seed.scales": [0.5, 1.0, 1.5, 2.0], "seed.long_side": 0},
    "5 IRN": {
        "affinity.backbone": "resnet50.tv_in1k", "affinity.labels": "crf", "affinity.background_high": 0.3,
        "affinity.background_low": 0.1, "affinity.crop": 512, "affinity.long_side": [250, 750],
        "affinity.batch_size": 32, "affinity.epochs": 3, "affinity.lr": 0.1, "affinity.head_lr": 10.0,
        "affinity.backbone_lr": 0.0, "affinity.radius": 10, "refine.method": ["irn"],
        "refine.walk_power": 10.0, "refine.threshold": 0.25,
    },
    "6 segmentation": {
        "segment.method": "beco", "segment.architecture": "deeplabv2", "segment.encoder": "resnet101.tv_in1k",
        "segment.beco.mix": 0.5, "segment.beco.boundary_weight": 0.2, "segment.beco.warmup": 2,
        "segment.beco.online_threshold": 0.95, "segment.lr": 0.01,
        "segment.weight_decay": 1e-4, "segment.end_lr": 1e-5, "segment.batch_size": 16,
        "segment.crop": 512, "segment.long_side": [250, 1000], "segment.epochs": 100,
        "predict.scales": [0.75, 1.0, 1.25], "predict.merge": "max", "predict.crf": True,
    },
}  # fmt: skip
"""What the method says, by its sections."""

SIZES = {"affinity.long_side": [320, 960], "segment.long_side": [320, 1280]}
"""What COCO's larger images change: 640 pixels instead of 500."""

VOC = load_recipe("voc12-official")


def setting(recipe: Recipe, name: str) -> Any:
    value: Any = to_dict(recipe)
    for part in name.split("."):
        value = value[part]
    return value


def differences(first: str, second: str) -> set[str]:
    def leaves(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in content.items():
            found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        return found

    one, two = (leaves(to_dict(load_recipe(name))) for name in (first, second))
    return {key for key in one if one[key] != two[key]}


# --- the numbers


@pytest.mark.parametrize("name", ["voc12-official", "coco14-official"])
@pytest.mark.parametrize("section", NUMBERS)
def test_every_number_of_the_method_stands_in_the_official_recipe(name: str, section: str) -> None:
    recipe, sizes = load_recipe(name), SIZES if name == "coco14-official" else {}
    expected = {key: sizes.get(key, value) for key, value in NUMBERS[section].items()}
    assert {key: setting(recipe, key) for key in expected} == expected


def test_the_numbers_that_are_no_setting_stand_in_the_code() -> None:
    assert (LEVELS, BOTTLENECK_DROPOUT) == ((2, 4, 8, 16), 0.2)
    assert PAR_DILATIONS == (1, 2, 4, 8, 12, 24)
    assert (POWER, HIDDEN) == (0.9, 256)
    assert (AFFINITY_STRIDE, AFFINITY_DECAY, HALF) == (16, 1e-4, 0.5)
    assert (SEGMENT_MOMENTUM, BOUNDARY) == (0.9, 1)
    kernels = FOR_SEEDS, FOR_PREDICTIONS
    assert [(one.near_weight, one.near_xy, one.iterations) for one in kernels] == [(3, 3, 10), (1, 3, 10)]
    assert [(one.colour_weight, one.colour_xy, one.colour_rgb) for one in kernels] == [(10, 50, 5), (4, 67, 3)]
    assert (ASPP_DILATIONS, ASPP_DROPOUT) == ((6, 12, 18, 24), 0.1)


def test_the_sound_recipes_differ_where_the_page_says_and_nowhere_else() -> None:
    objective = {f"classify.objective.{name}" for name in ("pairs", "inter_classes", "empty_cam")}
    stitched = {f"classify.objective.weights.stitched_{name}" for name in ("background", "foreground")}
    optimisation = {"momentum", "momentum_after", "head_lr", "schedule", "ramp", "retries"}
    expected = objective | stitched | {f"classify.{name}" for name in optimisation}
    expected |= {"affinity.lr", "affinity.momentum", "refine.threshold", "segment.retries"}
    expected |= {"compute.precision"}
    assert differences("voc12-official", "voc12") == expected
    four = {f"classify.objective.weights.{name}" for name in ("transfer", "global_alignment", "local_alignment")}
    assert differences("coco14-official", "coco14") == expected | four
    assert differences("voc12-official", "coco14-official") == set(SIZES)
    assert differences("voc12", "coco14") == set(SIZES) | four
    for data in ("voc12", "coco14"):
        assert differences(f"{data}-official", f"{data}-vgg") == {"segment.encoder"}
    page = (Path(__file__).parents[1] / "docs" / "reproduction.md").read_text(encoding="utf-8")
    for name in expected | four | set(SIZES):
        assert name.removeprefix("classify.").split(".")[-1] in page


def test_the_second_segmentation_network_can_be_built() -> None:
    recipe = load_recipe("voc12-vgg").segment
    network = Segmenter(recipe.architecture, recipe.encoder, 20, "none").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 48)).shape == (1, 21, 64, 48)


def test_every_term_has_words_in_the_report() -> None:
    assert set(to_dict(VOC.classify.objective.weights)) <= set(TERMS)


# --- the optimisation


def task(recipe: ClassifyRecipe, images: int) -> ClassifyTask:
    names = tuple(f"{number}.png" for number in range(images))
    data = TaggedImages(Path(), names, names, ("cat",), np.ones((images, 1), bool), np.zeros(images, bool))
    return ClassifyTask(data, recipe, build(recipe, ("cat",)), COMPUTE)


def test_colours_are_changed_where_the_method_changes_them() -> None:
    """Never for the classification network; for the two segmentation networks, so that what they see differs."""
    settings = {"classify.backbone": "resnet10t", "classify.weights": "none"}
    classified = task(load_recipe("voc12-official", settings).classify, 1).transform
    photo = torch.rand(3, 8, 8)
    assert torch.equal(classified.colour(photo), photo)
    assert JITTER == 0.2


def test_the_learning_rate_is_the_published_one_at_every_step(golden: Callable[[str], dict[str, np.ndarray]]) -> None:
    k = golden("k_poly_sgd")
    settings = {"classify.backbone": "resnet10t", "classify.weights": "none"}
    trained = task(load_recipe("voc12-official", settings).classify, 1)
    steps, later = 10582 // 8, 10582 // 16
    checked = 0
    for step, lr in zip(k["voc_step"].tolist(), k["voc_lr_f64"].tolist(), strict=True):
        epoch, within = divmod(step, steps)
        state = State(epoch=epoch)
        progress = within / steps
        if step >= 10 * steps:
            epoch, within = divmod(step - 10 * steps, later)
            state = State(epoch=10 + epoch, memory={"warmup_ended": 10})
            progress = within / later
        plan = trained.plan(state)
        if plan is None:
            assert step >= 33050  # the published training has ended here too
            continue
        assert VOC.classify.lr * plan.lr(progress) == pytest.approx(lr, rel=1e-12)
        assert plan.momentum == k["defaults_momentum_f64"][0]
        checked += 1
    assert checked == 8
    assert plan is None
    assert 0.41 < trained_end(trained) < 0.42


def trained_end(trained: ClassifyTask) -> float:
    plan = trained.plan(State(epoch=39, memory={"warmup_ended": 10}))
    assert plan is not None
    return plan.lr(1.0)


def test_the_sound_recipe_ends_at_zero() -> None:
    settings = {"classify.backbone": "resnet10t", "classify.weights": "none"}
    assert trained_end(task(load_recipe("voc12", settings).classify, 1)) == 0


def test_weights_decay_and_biases_do_not(golden: Callable[[str], dict[str, np.ndarray]]) -> None:
    recipe = VOC.classify
    network = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    groups = parameter_groups(network[0], network[1], recipe.lr, recipe.head_lr, recipe.weight_decay)
    assert [group["weight_decay"] for group in groups] == golden("k_poly_sgd")["defaults_weight_decay_f64"].tolist()
    assert {group["lr"] for group in groups} == {0.01}


# --- the whole job

TINY = [
    "--weights", "none", "--classify.backbone", "resnet10t", "--classify.epochs", "2", "--classify.warmup", "1",
    "--classify.long_side", "[64,96]", "--classify.crop", "64", "--compute.workers", "0",
    "--affinity.backbone", "resnet10t", "--affinity.epochs", "1", "--affinity.long_side", "[80,100]",
    "--affinity.crop", "80",
    "--segment.encoder", "resnet10t", "--segment.epochs", "3", "--segment.long_side", "[64,96]", "--segment.crop", "64",
]  # fmt: skip
"""Sizes of images and networks, and lengths of training, alone."""

if find_spec("pydensecrf") is None:
    TINY += ["--affinity.labels", "par", "--predict.crf", "false"]


def twelve_images(root: Path) -> Path:
    """A VOC tree with two more images for training than that of the tests of forms."""
    tree = Path(voc(root)[0]) / "VOC2012"
    for number, tags in enumerate((("cat", "person"), ("dog",))):
        name = f"2008_{number:06d}"
        image, boxes = draw(tags, 40 + number)
        image.save(tree / "JPEGImages" / f"{name}.jpg")
        (tree / "Annotations" / f"{name}.xml").write_text(voc_xml(name, boxes, 0), encoding="utf-8")
        voc_mask(boxes, image.size).save(tree / "SegmentationClassAug" / f"{name}.png")
        with (tree / "ImageSets" / "Segmentation" / "train_aug.txt").open("a") as file:
            file.write(f"{name}\n")
    assert len(list((tree / "JPEGImages").iterdir())) == 12
    return tree


def log(run: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / stage / "metrics.jsonl").read_text().splitlines()]


def assert_whole(run: Path, classes: int, images: int) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    assert set(manifest) == {
        "check", "classify", "seed", "affinity", "refine", "segment", "predict", "evaluate", "report",
    }  # fmt: skip
    assert all(entry["state"] == "done" for entry in manifest.values())
    assert len((run / "classes.txt").read_text().splitlines()) == classes
    for folder in ("seeds", "masks", "predictions"):
        assert len({path.stem for path in (run / folder).rglob("*.*")} - {"summary", "confidence"}) == images
    with safe_open(run / "segment" / "model.safetensors", framework="np") as file:
        assert file.metadata()["networks"] == "2"  # BECO
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["mask"]["method"] == "irn"
    assert evaluation["mask"]["threshold"] == 0.25
    assert evaluation["seed"]["scales"] == [0.5, 1.0, 1.5, 2.0]
    steps = [line for line in log(run, "classify") if line.get("phase") == "ktse"]
    on = {name for name, weight in to_dict(VOC.classify.objective.weights).items() if weight}
    assert steps
    assert all(set(line["terms"]) == on for line in steps)
    # Batches twice as large take half the schedule: from 1/2 on, and to 3/4 instead of the whole.
    assert [line["lr"] for line in steps] == pytest.approx(
        [0.01 * (1 - (1 + place / len(steps) / 2) / 2) ** 0.9 for place in range(len(steps))]
    )


@pytest.mark.trains
def test_the_official_voc_recipe_runs_to_its_end_on_twelve_images(tmp_path: Path) -> None:
    tree, run = twelve_images(tmp_path), tmp_path / "run"
    masks = tree / "SegmentationClassAug"
    done = ktse("run", tree, "--recipe", "voc12-official", "--masks", masks, "--out", run, *TINY)
    assert done.returncode == 0, done.stderr
    assert_whole(run, 20, 11)  # 8 for training, 3 for validation; one is on no list
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["prediction"]["by_split"]["train"]["images"] == 8
    assert evaluation["prediction"]["by_split"]["validation"]["images"] == 3


@pytest.mark.trains
def test_the_official_coco_recipe_runs_to_its_end_on_ten_images(tmp_path: Path) -> None:
    (tree,), run = coco(tmp_path), tmp_path / "run"
    masks = Path(tree) / "annotations" / "instances_train2014.json"
    done = ktse("run", tree, "--recipe", "coco14-official", "--masks", masks, "--out", run, *TINY)
    assert done.returncode == 0, done.stderr
    assert_whole(run, 80, len(TAGS))
    assert set(COLOURS) <= set((run / "classes.txt").read_text().splitlines())
    # What is kept of an image grows with its tags, not with the classes, and nothing is kept at its full size.
    for number, tags in enumerate(TAGS[:7]):
        count = len(tags) + (number == 0)  # the first image has a crowd too
        name = f"train2014/COCO_train2014_{9 + 7 * number:012d}"
        with np.load(run / "seeds" / f"{name}.npz") as seed, np.load(run / "masks" / f"{name}.npz") as mask:
            assert (seed["cam"].shape, seed["cam"].dtype) == ((count, 15, 18), np.float16)
            assert (mask["scores"].shape, mask["scores"].dtype) == ((count, 30, 36), np.uint8)


@pytest.mark.trains
def test_the_published_network_takes_a_step_with_every_term() -> None:
    network_task = task(load_recipe("voc12-official", {"classify.weights": "none"}).classify, 1)
    image, tags = torch.rand(2, 3, 32, 32), torch.ones(2, 1)
    network_task.network.freeze_batch_norm(True)
    losses = network_task.losses(network_task.module, Batch(image, tags, image, tags), network_task.terms, State())
    torch.stack([network_task.terms[name] * loss for name, loss in losses.items()]).sum().backward()
    trained = {name: weight for name, weight in network_task.network.named_parameters() if weight.requires_grad}
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in trained.values())
    assert math.prod(network_task.network.head.reduce.weight.shape) == 256 * 4096
