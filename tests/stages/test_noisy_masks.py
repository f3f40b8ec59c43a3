"""The segment stage with every way of learning from noisy masks, on masks made of good seeds."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import ktse.stages.segment_task as tasks
from drawn_scenes import HERE
from ktse.data.dataset import TaggedImages
from ktse.data.masks import Corrections, open_corrections
from ktse.data.transforms import TrainingTransform
from ktse.errors import CollapseError
from ktse.files import read_label_map, write_label_map
from ktse.models.segmenter import Segmenter, SegmenterPair
from ktse.models.weights import load_tensors
from ktse.recipe import BecoRecipe, PredictRecipe, RefineRecipe, SegmentRecipe
from ktse.run_folder import RunFolder
from ktse.segmentation.beco import CERTAIN, DOUBTFUL, TRUSTED
from ktse.segmentation.learner import Learner
from ktse.segmentation.soundness import contrast
from ktse.stages.masked_images import NoisyBatch, NoisyMasks, collate_noisy
from ktse.stages.refine import refine
from ktse.stages.segment import START, WENT_BACK, load_model, segment

RECIPE = SegmentRecipe(
    architecture="unet", encoder="resnet10t", weights="none", batch_norm="trained", epochs=3, batch_size=4,
    long_side=(64, 90), crop=64, head_lr=1.0, beco=BecoRecipe(warmup=1, online_threshold=0.3),
)  # fmt: skip
HEAD = replace(RECIPE, architecture="head", frozen_stages=-1, batch_norm="frozen", lr=0.003)
OPTIONS = {"single": RECIPE, "beco": replace(RECIPE, method="beco"), "head": HEAD}
ONE = {"cross_entropy": 1.0, "agreement": 1.0}


@pytest.fixture
def masks(run: RunFolder, data: TaggedImages) -> RunFolder:
    refine(run, data, RefineRecipe(threshold=0.3), compute=HERE)
    return run


@pytest.fixture
def corrections(tmp_path: Path, scenes: Path, data: TaggedImages) -> Corrections:
    """The true mask of one training image, as a person would have drawn it."""
    name = data.ids[int(data.training[-1])]
    write_label_map(tmp_path / "fixed" / f"{name}.png", read_label_map(scenes / "masks" / f"{name}.png"))
    return open_corrections(tmp_path / "fixed", data)


def dataset(run: RunFolder, data: TaggedImages, views: int, corrections: Corrections | None = None) -> NoisyMasks:
    transform = TrainingTransform((64, 90), 96, 0.2, (0.5,) * 3, (0.5,) * 3)
    return NoisyMasks(run, data, corrections or Corrections(), transform, 0, views)


def test_confident_pixels_are_those_of_the_run(masks: RunFolder, data: TaggedImages) -> None:
    samples = [dataset(masks, data, 2)[index] for index in data.training]
    share = torch.cat([(s.trust[s.trust <= CERTAIN] == TRUSTED).float() for s in samples]).mean()
    stored = np.mean([read_label_map(masks.confident_path(name)).mean() for name in data.take(data.training).ids])
    assert share == pytest.approx(stored, abs=0.05)
    assert 0.2 < share < 0.8


def test_views_differ_in_colour_alone(masks: RunFolder, data: TaggedImages) -> None:
    sample = dataset(masks, data, 2)[1]
    first, second = sample.views
    assert not torch.equal(first, second)
    outside = sample.trust > CERTAIN
    assert outside.any() and torch.equal(first[:, outside], second[:, outside])
    grey = [view[:, ~outside].mean(dim=0) for view in (first, second)]
    assert np.corrcoef(np.stack([value.numpy() for value in grey]))[0, 1] > 0.9


def test_corrections_take_the_place_of_masks_with_full_confidence(
    masks: RunFolder, data: TaggedImages, corrections: Corrections
) -> None:
    index = int(data.training[-1])  # its CAM is empty, so that its mask is empty too
    assert not read_label_map(masks.mask_path(data.ids[index])).any()
    for views in (1, 2):
        sample = dataset(masks, data, views, corrections)[index]
        inside = sample.trust <= CERTAIN
        assert set(sample.label[inside].unique().tolist()) > {0}
        assert (sample.trust[inside] == CERTAIN).all()
        plain = dataset(masks, data, views)[index]
        assert not plain.label[inside].any() and (plain.trust[inside] <= TRUSTED).all()


def test_what_a_correction_leaves_open_counts_nothing_and_is_doubtful(
    masks: RunFolder, data: TaggedImages, tmp_path: Path
) -> None:
    index = int(data.training[0])
    label = read_label_map(masks.mask_path(data.ids[index])).copy()
    label[:60] = 255
    write_label_map(tmp_path / "open" / f"{data.ids[index]}.png", label)
    for views in (1, 2):
        sample = dataset(masks, data, views, open_corrections(tmp_path / "open", data))[index]
        band = (sample.label == 255) & (sample.trust <= CERTAIN)
        assert band.any() and (sample.trust[band] == DOUBTFUL).all()
        assert (sample.trust[sample.label != 255] == CERTAIN).all()


def test_a_batch_stacks_views_labels_and_trust(masks: RunFolder, data: TaggedImages) -> None:
    images = dataset(masks, data, 2)
    samples = [images[index] for index in data.training[:4]]
    batch = collate_noisy(samples)
    assert len(batch.views) == 2 and batch.label.shape == batch.trust.shape == (4, 96, 96)
    assert all(view.is_contiguous(memory_format=torch.channels_last) for view in batch.views)
    for number, sample in enumerate(samples):
        assert all(torch.equal(batch.views[k][number], sample.views[k]) for k in (0, 1))
        assert torch.equal(batch.label[number], sample.label) and torch.equal(batch.trust[number], sample.trust)


def a_task(run: RunFolder, data: TaggedImages, recipe: SegmentRecipe) -> tasks.SegmentTask:
    count = 2 if recipe.method == "beco" else 1
    networks = [Segmenter("unet", "resnet10t", len(data.classes), "none") for _ in range(count)]
    return tasks.SegmentTask(run, data, recipe, Learner(networks), Corrections(), HERE)


def test_one_network_learns_by_the_usual_cross_entropy(masks: RunFolder, data: TaggedImages) -> None:
    torch.manual_seed(0)
    task, view = a_task(masks, data, RECIPE), torch.randn(3, 3, 32, 32)
    label = torch.randint(0, len(data.classes) + 1, (3, 32, 32))
    label[0, :3], label[2] = 255, 255
    state = tasks.State()
    task.module.eval()
    terms = task.losses(task.module, NoisyBatch((view,), label, label), {"cross_entropy": 1.0}, state)
    (logits,) = task.module((view,))
    torch.testing.assert_close(terms, {"cross_entropy": cross_entropy(logits, label, ignore_index=255)})
    assert state.totals == {"loss": pytest.approx(terms["cross_entropy"].item()), "batches": 1}


@pytest.mark.parametrize("option", ["single", "beco"])
def test_nothing_to_learn_is_zero_and_has_a_gradient(masks: RunFolder, data: TaggedImages, option: str) -> None:
    task = a_task(masks, data, OPTIONS[option])
    views = tuple(torch.randn(2, 3, 32, 32) for _ in task.learner.networks)
    nothing = torch.full((2, 32, 32), 255)  # padding alone
    terms = task.losses(task.module, NoisyBatch(views, nothing, nothing), ONE, tasks.State())
    torch.stack(list(terms.values())).sum().backward()
    assert all(value.item() == 0 for value in terms.values())
    found = [parameter.grad for parameter in task.module.parameters() if parameter.grad is not None]
    assert found and all((gradient == 0).all() for gradient in found)


def weights_of(run: RunFolder) -> dict[str, Tensor]:
    return load_tensors(run.path("segment", "model.safetensors"))[0]


@pytest.mark.parametrize("option", ["single", "beco", "head"])
def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    masks: RunFolder, data: TaggedImages, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = OPTIONS[option]
    segment(masks, data, recipe, HERE)
    expected = weights_of(masks)
    log = masks.path("segment", "metrics.jsonl").read_text()
    masks.path("segment").rename(masks.path("first"))
    losses, seen = tasks.SegmentTask.losses, []

    def stop_in_the_middle(self: tasks.SegmentTask, *arguments: object) -> dict[str, Tensor]:
        seen.append(1)
        if len(seen) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return losses(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tasks.SegmentTask, "losses", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        segment(masks, data, recipe, HERE)
    assert not masks.path("segment", "model.safetensors").exists()
    segment(masks, data, recipe, HERE)
    found = weights_of(masks)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert masks.path("segment", "metrics.jsonl").read_text() == log
    assert len(seen) == 5 + log.count('"terms"') - 5


def test_both_networks_learn_in_a_warm_up_and_after_it_and_are_used_together(
    masks: RunFolder, data: TaggedImages
) -> None:
    from ktse.stages.predict import predict

    segment(masks, data, replace(OPTIONS["beco"], end_lr=1e-3), compute=HERE)
    log = masks.path("segment", "metrics.jsonl").read_text()
    assert '"phase": "warmup"' in log and '"phase": "beco"' in log and '"agreement"' in log
    model, classes = load_model(masks.path("segment", "model.safetensors"))
    assert isinstance(model, SegmenterPair) and classes == data.classes
    one, two = (next(p for p in part.network.parameters() if p.dim() == 4) for part in (model.first, model.second))
    assert not torch.equal(one, two)
    image = torch.randn(2, 3, 45, 70)
    with torch.no_grad():
        torch.testing.assert_close(model(image), (model.first(image) + model.second(image)) / 2)
    predict(masks, data, PredictRecipe(flip=False), compute=HERE)
    assert len(list(masks.path("predictions").rglob("*.png"))) == len(data)


def test_the_learning_rate_falls_to_its_end(masks: RunFolder, data: TaggedImages) -> None:
    recipe = replace(RECIPE, lr=0.01, end_lr=1e-5, epochs=100)
    task = a_task(masks, data, recipe)
    for epoch in (0, 40, 99):
        plan = task.plan(tasks.State(epoch=epoch))
        assert plan is not None
        for progress in (0.0, 0.5, 1.0):
            share = (epoch + progress) / 100
            assert 0.01 * plan.lr(progress) == pytest.approx((0.01 - 1e-5) * (1 - share) ** 0.9 + 1e-5)


@pytest.mark.parametrize(("label", "useless"), [(0, True), (1, False)])
def test_a_model_that_labels_nothing_is_said_to_be_of_no_use(
    masks: RunFolder, data: TaggedImages, label: int, useless: bool,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def always(task: tasks.SegmentTask, *_: object, **__: object) -> None:
        (network,) = task.learner.networks
        head = [child for child in network.modules() if isinstance(child, torch.nn.Conv2d)][-1]
        with torch.no_grad():
            head.weight.zero_()
            head.bias.zero_()[label] = 9

    monkeypatch.setattr("ktse.training.loop.fit", always)
    segment(masks, data, RECIPE, compute=HERE)
    said = " ".join(capsys.readouterr().err.split())
    assert ("of no use: it labels 0.0% of the pixels" in said) == useless
    assert "model and masks agree with an mIoU of" in said
    summary = json.loads(masks.path("segment", "summary.json").read_text())
    assert len(summary["warnings"]) == useless
    assert 0 <= summary["agreement"] <= 1 and summary["repeated"] == 0


def kill(task: tasks.SegmentTask) -> None:
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
    whole = tasks.SegmentTask.end_epoch

    def fatal(task: tasks.SegmentTask, state: tasks.State) -> tasks.EpochEnd:
        plan = task.plan(state)
        rates.append(plan.lr(0) if plan else 0.0)
        return whole(task, state)

    watch = tasks.SegmentTask.watch

    def first_look(task: tasks.SegmentTask, state: tasks.State) -> None:
        if state.epoch == 2 and state.memory.get("repeated", 0) < deaths:
            kill(task)
        watch(task, state)

    monkeypatch.setattr(tasks.SegmentTask, "watch", first_look)
    monkeypatch.setattr(tasks.SegmentTask, "end_epoch", fatal)
    recipe = replace(RECIPE, retries=retries)
    if deaths > retries:
        with pytest.raises(CollapseError, match=r"collapsed in epoch 2: .* 0\.0% of its strength left"):
            segment(masks, data, recipe, compute=HERE)
        assert not masks.path("segment", "model.safetensors").exists()
        return
    segment(masks, data, recipe, compute=HERE)
    assert f"learning rate times {0.25**deaths:g}" in capsys.readouterr().err
    assert rates[-RECIPE.epochs] == pytest.approx(rates[0] * 0.25**deaths)
    assert json.loads(masks.path("segment", "summary.json").read_text())["repeated"] == deaths
    assert not masks.path("segment", START).exists()
    events = [json.loads(line) for line in masks.path("segment", "metrics.jsonl").read_text().splitlines()]
    assert sum(WENT_BACK in line.get("event", "") for line in events) == deaths
    model, _ = load_model(masks.path("segment", "model.safetensors"))
    assert contrast(model.deepest(torch.randn(2, 3, 64, 64))) > 0.01


def test_a_result_that_is_no_number_is_not_written(
    masks: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Learner.result

    def poisoned(learner: Learner) -> Segmenter | SegmenterPair:
        result = whole(learner)
        next(iter(result.parameters())).data.fill_(torch.nan)
        return result

    monkeypatch.setattr(Learner, "result", poisoned)
    with pytest.raises(CollapseError, match="weight holds NaN or infinite values"):
        segment(masks, data, replace(RECIPE, retries=0), compute=HERE)
    assert not masks.path("segment", "model.safetensors").exists()
    assert not masks.path("segment", "summary.json").exists()


def test_blank_images_are_no_collapse(masks: RunFolder, data: TaggedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "contrast", lambda features: 0.0)
    segment(masks, data, replace(RECIPE, retries=0), compute=HERE)
    assert masks.path("segment", "model.safetensors").exists()
