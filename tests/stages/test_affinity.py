"""The affinity stage: confident labels, and training on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_scenes import HERE
from ktse.data.dataset import TaggedImages
from ktse.files import read_label_map
from ktse.recipe import AffinityRecipe
from ktse.refinement.dense_crf import FOR_SEEDS, crf_labels
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric
from ktse.stages.affinity import affinity, background_maps, confident_label, load_affinity, make_labels
from ktse.stages.refiners import boundary


def test_confident_labels_are_the_published_ones(golden: Callable[[str], dict[str, np.ndarray]]) -> None:
    stored = golden("l4_irn_per_image")
    maps = background_maps(stored["img_u8"], stored["highres_cam"], AffinityRecipe(labels="none"))
    assert np.array_equal(maps[0], stored["fg_argmax"])
    assert np.array_equal(maps[1], stored["bg_argmax"])
    label = confident_label(maps[0], maps[1], stored["cam_keys"], 20)
    assert np.array_equal(label, stored["ir_label_nocrf"])
    pytest.importorskip("pydensecrf", reason='needs the extra crf: pip install "ktse[crf]"')
    after = [crf_labels(stored["img_u8"], label, 3, FOR_SEEDS) for label in maps]
    assert (confident_label(*after, stored["cam_keys"], 20) == stored["ir_label_crf"]).mean() >= 0.99


@pytest.mark.parametrize("way", ["none", "par", "crf"])
def test_labels_of_a_run_agree_with_the_seeds(
    run: RunFolder, data: TaggedImages, scenes: Path, way: Any, tiny: AffinityRecipe
) -> None:
    if way == "crf":
        pytest.importorskip("pydensecrf", reason='needs the extra crf: pip install "ktse[crf]"')
    make_labels(run, data, replace(tiny, labels=way), workers=1)
    right = []
    for index, name in enumerate(data.ids):
        assert run.affinity_label_path(name).is_file() != data.validation[index]  # validation images teach nothing
        if data.validation[index]:
            continue
        label = read_label_map(run.affinity_label_path(name))
        assert label.shape == data.read(index).size[::-1]
        if not data.tags[index].any():
            assert not label.any()
        elif index == len(data) - 1:
            assert (label == 255).all()  # a CAM without activation is no background
        else:
            true = read_label_map(scenes / "masks" / f"{name}.png")
            right.append((label == true)[label != 255].mean())
            assert (label > 0).any()
    assert np.mean(right) > 0.9


def test_training_lowers_the_loss_and_goes_on_where_it_stopped(
    run: RunFolder, data: TaggedImages, tiny: AffinityRecipe
) -> None:
    affinity(run, data, replace(tiny, epochs=8, lr=0.2), HERE)
    lines = [json.loads(line) for line in run.path("affinity", "metrics.jsonl").read_text().splitlines()]
    terms = [line["terms"] for line in lines if "terms" in line]
    assert set(terms[0]) == {"same", "different", "displacement_foreground", "displacement_background"}
    assert all(
        line["total"] == pytest.approx(sum(line["terms"].values()) / 2, abs=1e-5) for line in lines if "terms" in line
    )
    apart = [term["different"] + term["same"] for term in terms]
    assert np.mean(apart[-4:]) < 0.9 * np.mean(apart[:4])
    before = run.path("affinity", "metrics.jsonl").read_text()
    affinity(run, data, replace(tiny, epochs=8, lr=0.2), HERE)
    assert run.path("affinity", "metrics.jsonl").read_text() == before


def test_the_model_comes_back_and_knows_left_from_right(
    run: RunFolder, data: TaggedImages, tiny: AffinityRecipe
) -> None:
    affinity(run, data, tiny, HERE)
    network, fabric = load_affinity(run), make_fabric("fp32")
    image = data.read(1).resize((64, 64))
    edge = boundary(network, image, fabric)
    assert edge.shape == (16, 16)
    assert 0 < edge.min() < edge.max() < 1
    mirrored = boundary(network, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), fabric)
    torch.testing.assert_close(mirrored.flip(-1), edge, rtol=1e-4, atol=1e-5)
