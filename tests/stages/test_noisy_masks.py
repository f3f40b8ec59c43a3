"""The segment stage with every way of learning from noisy masks, on masks made of good seeds."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import ktse.stages.segment as module
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections, open_corrections
from ktse.data.transforms import TrainingTransform
from ktse.errors import CollapseError
from ktse.files import read_label_map, write_label_map
from ktse.models.segmenter import Portable, Segmenter, SegmenterPair
from ktse.models.weights import load_tensors
from ktse.prediction.onnx import OnnxModel
from ktse.recipe import BecoRecipe, PredictRecipe, RefineRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.segmentation.learner import Learner
from ktse.segmentation.soundness import contrast
from ktse.segmentation.targets import CERTAIN, DOUBTFUL, TRUSTED
from ktse.stages.masked_images import NoisyMasks, collate_noisy, image_weights
from ktse.stages.refine import refine
from ktse.stages.segment import load_model, segment

RECIPE = SegmentRecipe(
    architecture="unet", encoder="resnet10t", weights="none", batch_norm="trained", epochs=3, batch_size=4,
    long_side=(64, 90), crop=64, head_lr=1.0, workers=0, precision="fp32",
    beco=BecoRecipe(warmup=1, online_threshold=0.3),
)  # fmt: skip
OPTIONS = {
    "soft": replace(RECIPE, targets="soft"),
    "image": replace(RECIPE, confidence_weight="image"),
    "both-soft": replace(RECIPE, confidence_weight="both", targets="soft"),
    "ema": replace(RECIPE, ema=0.9),
    "beco": replace(RECIPE, method="beco", ema=0.9, confidence_weight="image"),
}


@pytest.fixture
def masks(run: RunFolder, data: TaggedImages) -> RunFolder:
    refine(run, data, RefineRecipe(threshold=0.3, undecided=0.05, workers=1, precision="fp32"))
    return run


@pytest.fixture
def corrections(tmp_path: Path, scenes: Path, data: TaggedImages) -> Corrections:
    """The true mask of one training image, as a person would have drawn it."""
    name = data.ids[int(data.training[-1])]
    write_label_map(tmp_path / "fixed" / f"{name}.png", read_label_map(scenes / "masks" / f"{name}.png"))
    return open_corrections(tmp_path / "fixed", data)


def dataset(
    run: RunFolder, data: TaggedImages, recipe: SegmentRecipe, corrections: Corrections | None = None
) -> NoisyMasks:
    transform = TrainingTransform((64, 90), 96, 0.2, (0.5,) * 3, (0.5,) * 3)
    return NoisyMasks(run, data, recipe, corrections or Corrections(), transform)


def test_soft_targets_agree_with_the_mask_they_replace(masks: RunFolder, data: TaggedImages) -> None:
    images = dataset(masks, data, OPTIONS["soft"])
    for index in data.training:
        sample = images[index]
        decided = sample.label != 255
        assert sample.keys.tolist() == [0, *(np.flatnonzero(data.tags[index]) + 1)]
        torch.testing.assert_close(sample.target.sum(dim=0), torch.ones(96, 96))
        likeliest = sample.keys[sample.target.argmax(dim=0)]
        # The mask is resized without blending, the scores with it: only the edges may differ.
        assert (likeliest[decided] == sample.label[decided]).float().mean() > 0.97
        assert (sample.label == 255).any()  # padding


def test_the_undecided_band_counts_nothing_and_is_doubtful(masks: RunFolder, data: TaggedImages) -> None:
    for recipe in (OPTIONS["both-soft"], OPTIONS["beco"], RECIPE):
        images = dataset(masks, data, recipe)
        inside = [(sample.label == 255) & (sample.trust <= CERTAIN) for sample in (images[i] for i in data.training)]
        assert any(band.any() for band in inside)
        for index, band in zip(data.training, inside, strict=True):
            assert (images[index].trust[band] == DOUBTFUL).all()


def test_confident_pixels_are_those_of_the_run(masks: RunFolder, data: TaggedImages) -> None:
    samples = [dataset(masks, data, OPTIONS["both-soft"])[index] for index in data.training]
    share = torch.cat([(s.trust[s.trust <= CERTAIN] == TRUSTED).float() for s in samples]).mean()
    stored = np.mean([read_label_map(masks.confident_path(name)).mean() for name in data.take(data.training).ids])
    assert share == pytest.approx(stored, abs=0.05)
    assert 0.2 < share < 0.8


def test_views_differ_in_colour_alone(masks: RunFolder, data: TaggedImages) -> None:
    sample = dataset(masks, data, OPTIONS["beco"])[1]
    first, second = sample.views
    assert not torch.equal(first, second)
    outside = sample.trust > CERTAIN
    assert outside.any() and torch.equal(first[:, outside], second[:, outside])
    grey = [view[:, ~outside].mean(dim=0) for view in (first, second)]
    assert np.corrcoef(np.stack([value.numpy() for value in grey]))[0, 1] > 0.9


def test_corrections_take_the_place_of_masks_with_full_confidence(
    masks: RunFolder, data: TaggedImages, corrections: Corrections, scenes: Path
) -> None:
    index = int(data.training[-1])  # its CAM is empty, so that its mask is empty too
    assert not read_label_map(masks.mask_path(data.ids[index])).any()
    recipe = replace(OPTIONS["both-soft"], correction_weight=3.0)
    sample = dataset(masks, data, recipe, corrections)[index]
    assert set(sample.label[sample.trust <= CERTAIN].unique().tolist()) > {0}
    assert (sample.trust[sample.trust <= CERTAIN] == CERTAIN).all()
    likeliest = sample.keys[sample.target.argmax(dim=0)]
    assert torch.equal(likeliest[sample.label != 255], sample.label[sample.label != 255])
    assert set(sample.target.unique().tolist()) <= {0.0, 1.0}
    weights = image_weights(masks, data, recipe, corrections)
    with masks.path("masks", "confidence.csv").open() as file:
        said = {row["id"]: float(row["confidence"]) for row in csv.DictReader(file)}
    names = [data.ids[i] for i in data.training]
    full = {name: 1.0 if name in corrections else said[name] for name in names}
    mean = np.mean(list(full.values()))
    assert set(weights) == set(names)
    for name in names:
        assert weights[name] == pytest.approx(full[name] / mean * (3 if name in corrections else 1))


def test_a_batch_fills_up_missing_planes(masks: RunFolder, data: TaggedImages) -> None:
    images = dataset(masks, data, OPTIONS["soft"])
    samples = [images[index] for index in data.training[:4]]
    counts = [len(sample.keys) for sample in samples]
    assert len(set(counts)) > 1
    batch = collate_noisy(samples)
    assert batch.target.shape == (4, max(counts), 96, 96)
    torch.testing.assert_close(batch.target.sum(dim=1), torch.ones(4, 96, 96))
    assert batch.views[0].is_contiguous(memory_format=torch.channels_last)


def weights_of(run: RunFolder) -> dict[str, Tensor]:
    return load_tensors(run.path("segment", "model.safetensors"))[0]


@pytest.mark.parametrize("option", OPTIONS)
def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    masks: RunFolder, data: TaggedImages, corrections: Corrections, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = OPTIONS[option]
    segment(masks, data, recipe, corrections)
    expected = weights_of(masks)
    log = masks.path("segment", "metrics.jsonl").read_text()
    masks.path("segment").rename(masks.path("first"))
    losses, seen = module.SegmentTask.losses, []

    def stop_in_the_middle(self: module.SegmentTask, *arguments: object) -> dict[str, Tensor]:
        seen.append(1)
        if len(seen) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return losses(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module.SegmentTask, "losses", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        segment(masks, data, recipe, corrections)
    assert not masks.path("segment", "model.safetensors").exists()
    segment(masks, data, recipe, corrections)
    found = weights_of(masks)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert masks.path("segment", "metrics.jsonl").read_text() == log
    assert len(seen) == 5 + log.count('"terms"') - 5


def test_the_average_is_that_of_the_weights_so_far() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    learner = Learner([network], decay=0.5)  # type: ignore[list-item]
    expected = None
    for step in range(20):
        with torch.no_grad():
            network[0].weight += torch.randn_like(network[0].weight)
        network[1].running_mean += 1
        learner.after_step()
        now = network[0].weight.detach().clone()
        keep = min(0.5, (1 + step) / (10 + step)) if step else 0.0
        expected = now if expected is None else keep * expected + (1 - keep) * now
    result = learner.result()
    torch.testing.assert_close(result[0].weight, expected)  # type: ignore[index]
    assert not torch.allclose(result[0].weight, network[0].weight)  # type: ignore[index]
    assert 18 < result[1].running_mean[0] < 20  # type: ignore[index]
    assert all(not parameter.requires_grad for parameter in result.parameters())


def test_the_average_is_what_is_stored(masks: RunFolder, data: TaggedImages) -> None:
    segment(masks, data, OPTIONS["ema"])
    stored, checkpoint = weights_of(masks), load_tensors(masks.path("segment", "checkpoint.safetensors"))[0]
    name = next(key for key in stored if key.endswith("weight") and stored[key].dim() == 4)
    assert torch.equal(stored[name], checkpoint[f"model/average.module.0.{name}"])
    assert not torch.equal(stored[name], checkpoint[f"model/networks.0.{name}"])


def test_both_networks_learn_and_are_used_together(masks: RunFolder, data: TaggedImages, tmp_path: Path) -> None:
    from ktse.exporting.onnx import export_onnx
    from ktse.stages.predict import predict

    segment(masks, data, replace(OPTIONS["beco"], ema=0.0))
    model, classes = load_model(masks.path("segment", "model.safetensors"))
    assert isinstance(model, SegmenterPair) and classes == data.classes
    one, two = (next(p for p in part.network.parameters() if p.dim() == 4) for part in (model.first, model.second))
    assert not torch.equal(one, two)
    image = torch.randn(2, 3, 45, 70)
    with torch.no_grad():
        torch.testing.assert_close(model(image), (model.first(image) + model.second(image)) / 2)
    predict(masks, data, PredictRecipe(flip=False, precision="fp32"))
    assert len(list(masks.path("predictions").rglob("*.png"))) == len(data)
    result = export_onnx(Portable(model), classes, PredictRecipe(), tmp_path / "m.onnx")
    assert min(result.equal, result.foreground) >= 0.99
    assert OnnxModel(tmp_path / "m.onnx").classes == data.classes


def test_the_warm_up_of_beco_is_a_phase_and_its_terms_are_logged(masks: RunFolder, data: TaggedImages) -> None:
    segment(masks, data, replace(RECIPE, method="beco", end_lr=1e-3))
    log = masks.path("segment", "metrics.jsonl").read_text()
    assert '"phase": "warmup"' in log and '"phase": "beco"' in log and '"agreement"' in log


def test_presence_is_a_term_of_its_own_and_changes_what_is_learned(masks: RunFolder, data: TaggedImages) -> None:
    learned = []
    for weight in (0.0, 0.5):
        shutil.rmtree(masks.path("segment"), ignore_errors=True)
        segment(masks, data, replace(RECIPE, presence=weight))
        assert ('"presence"' in masks.path("segment", "metrics.jsonl").read_text()) == (weight > 0)
        learned.append(load_tensors(masks.path("segment", "model.safetensors"))[0])
    assert any(not torch.equal(value, learned[1][name]) for name, value in learned[0].items())


def test_the_learning_rate_falls_to_its_end(masks: RunFolder, data: TaggedImages) -> None:
    recipe = replace(RECIPE, lr=0.01, end_lr=1e-5, epochs=100)
    learner = Learner([Segmenter("unet", "resnet10t", len(data.classes), "none")], 0.0)
    task = module.SegmentTask(masks, data, recipe, learner, Corrections())
    for epoch in (0, 40, 99):
        plan = task.plan(module.State(epoch=epoch))
        assert plan is not None
        for progress in (0.0, 0.5, 1.0):
            share = (epoch + progress) / 100
            assert 0.01 * plan.lr(progress) == pytest.approx((0.01 - 1e-5) * (1 - share) ** 0.9 + 1e-5)


@pytest.mark.parametrize(("label", "useless"), [(0, True), (1, False)])
def test_a_model_that_labels_nothing_is_said_to_be_of_no_use(
    masks: RunFolder, data: TaggedImages, label: int, useless: bool,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def always(task: module.SegmentTask, *_: object, **__: object) -> None:
        (network,) = task.learner.networks
        head = [child for child in network.modules() if isinstance(child, torch.nn.Conv2d)][-1]
        with torch.no_grad():
            head.weight.zero_()
            head.bias.zero_()[label] = 9

    monkeypatch.setattr("ktse.training.loop.fit", always)
    segment(masks, data, RECIPE)
    said = " ".join(capsys.readouterr().err.split())
    assert ("of no use: it labels 0.0% of the pixels" in said) == useless
    assert "model and masks agree with an mIoU of" in said
    summary = json.loads(masks.path("segment", "summary.json").read_text())
    assert len(summary["warnings"]) == useless
    assert 0 <= summary["agreement"] <= 1 and summary["repeated"] == 0


def kill(task: module.SegmentTask) -> None:
    """Leave the encoder's deepest features the same for all images, as one step that is too large can."""
    (network,) = task.learner.networks
    (last,) = [child for name, child in network.encoder.named_modules() if name.endswith("layer4.0.bn2")]
    shortcut = [child for name, child in network.encoder.named_modules() if "layer4.0.downsample" in name]
    with torch.no_grad():
        for child in (last, *shortcut):
            if isinstance(child, torch.nn.BatchNorm2d):
                child.weight.zero_()


@pytest.mark.parametrize(("deaths", "retries"), [(1, 2), (2, 2), (2, 1), (1, 0)])
def test_an_encoder_that_died_starts_again_at_a_lower_rate(
    masks: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    deaths: int, retries: int,
) -> None:  # fmt: skip
    rates: list[float] = []
    whole = module.SegmentTask.end_epoch

    def fatal(task: module.SegmentTask, state: module.State) -> module.EpochEnd:
        plan = task.plan(state)
        rates.append(plan.lr(0) if plan else 0.0)
        return whole(task, state)

    watch = module.SegmentTask.watch

    def first_look(task: module.SegmentTask, state: module.State) -> None:
        if state.epoch == 2 and state.memory.get("repeated", 0) < deaths:
            kill(task)
        watch(task, state)

    monkeypatch.setattr(module.SegmentTask, "watch", first_look)
    monkeypatch.setattr(module.SegmentTask, "end_epoch", fatal)
    recipe = replace(RECIPE, retries=retries)
    if deaths > retries:
        with pytest.raises(CollapseError, match=r"collapsed in epoch 2: .* 0\.0% of its strength left"):
            segment(masks, data, recipe)
        assert not masks.path("segment", "model.safetensors").exists()
        return
    segment(masks, data, recipe)
    assert f"learning rate times {0.25**deaths:g}" in capsys.readouterr().err
    assert rates[-RECIPE.epochs] == pytest.approx(rates[0] * 0.25**deaths)
    assert json.loads(masks.path("segment", "summary.json").read_text())["repeated"] == deaths
    assert not masks.path("segment", module.START).exists()
    events = [json.loads(line) for line in masks.path("segment", "metrics.jsonl").read_text().splitlines()]
    assert sum(module.WENT_BACK in line.get("event", "") for line in events) == deaths
    model, _ = load_model(masks.path("segment", "model.safetensors"))
    assert contrast(model.deepest(torch.randn(2, 3, 64, 64))) > 0.01


def test_an_average_of_weights_that_is_no_number_is_not_written(
    masks: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = module.Learner.result

    def poisoned(learner: module.Learner) -> Segmenter | SegmenterPair:
        result = whole(learner)
        next(iter(result.parameters())).data.fill_(torch.nan)
        return result

    monkeypatch.setattr(module.Learner, "result", poisoned)
    with pytest.raises(CollapseError, match="weight holds NaN or infinite values"):
        segment(masks, data, replace(RECIPE, retries=0))
    assert not masks.path("segment", "model.safetensors").exists()
    assert not masks.path("segment", "summary.json").exists()


def test_blank_images_are_no_collapse(masks: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "contrast", lambda features: 0.0)
    segment(masks, data, replace(RECIPE, retries=0))
    assert masks.path("segment", "model.safetensors").exists()
