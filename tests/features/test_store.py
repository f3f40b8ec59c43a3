"""Features of a frozen backbone: kept once, near what the backbone says, and never those of another image."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.transforms import long_side_size, to_tensor
from ktse.features.store import FrozenFeatures
from ktse.models.backbone import Backbone
from ktse.models.feature_head import FINER
from ktse.run_folder import RunFolder
from ktse.runtime.fabric import make_fabric

SIDE = 96


@pytest.fixture
def photos(tmp_path: Path) -> TaggedImages:
    folder = tmp_path / "photos"
    folder.mkdir()
    names, rng = [], np.random.default_rng(0)
    for number, size in enumerate([(120, 80), (80, 120), (50, 50)]):
        names.append(f"{number}.png")
        Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(folder / names[-1])
    tags = np.eye(3, 2, dtype=bool)
    return TaggedImages(folder, tuple(names), ("0", "1", "2"), ("a", "b"), tags, np.zeros(3, dtype=bool))


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone("resnet10t", 16, "none", -1, 3)


def store(tmp_path: Path, photos: TaggedImages, backbone: Backbone, room: float = 1.0) -> FrozenFeatures:
    return FrozenFeatures(RunFolder(tmp_path / "run"), photos, backbone, SIDE, room, make_fabric("fp32"))


def kept(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "run" / "features").glob("*"))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_they_are_what_the_backbone_sees(index: int, tmp_path: Path, photos: TaggedImages, backbone: Backbone) -> None:
    found = store(tmp_path, photos, backbone)[index]
    image = photos.read(index)
    with torch.no_grad():
        tensor = to_tensor(image, backbone.mean, backbone.std, long_side_size(image.size, SIDE))
        expected = backbone.levels_of(tensor[None])
    for level, true in zip(found.levels, expected, strict=True):
        assert level.shape == true[0].shape
        largest = true[0].abs().amax(dim=(1, 2), keepdim=True)
        assert ((level - true[0]).abs() <= largest / 250).all()  # half a step of 127
    assert found.picture.shape[-2:] == tuple(FINER * side for side in expected[-1].shape[-2:])
    mean = np.asarray(image, dtype=np.float64).mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(found.picture.mean(dim=(1, 2)), mean, atol=0.02)


def test_an_image_goes_through_the_backbone_once(
    tmp_path: Path, photos: TaggedImages, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, photos, backbone).fill(range(3), "test")
    assert kept(tmp_path) == ["0.npz", "1.npz", "2.npz"]
    again = store(tmp_path, photos, backbone)
    first = [again[index] for index in range(3)]

    def refuse(*_: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr(Backbone, "levels_of", refuse)
    again.fill(range(3), "test")
    for index in range(3):
        assert all(map(torch.equal, again[index].levels, first[index].levels))


def test_a_changed_image_and_another_backbone_are_seen_anew(
    tmp_path: Path, photos: TaggedImages, backbone: Backbone
) -> None:
    features = store(tmp_path, photos, backbone)
    features.fill(range(3), "test")
    Image.new("RGB", (120, 80), (9, 9, 9)).save(photos.path(0))
    os.utime(photos.path(0), ns=(1, 1))
    assert features.get(0) is None
    assert features.get(1) is not None
    assert features[0].picture.max() < 0.1
    with torch.no_grad():
        next(backbone.parameters()).add_(0.1)
    assert store(tmp_path, photos, backbone).get(1) is None


def test_what_there_is_no_room_for_is_computed_each_time(
    tmp_path: Path, photos: TaggedImages, backbone: Backbone, capsys: pytest.CaptureFixture[str]
) -> None:
    little = store(tmp_path, photos, backbone, room=1e-6)
    little.fill(range(3), "test")
    assert kept(tmp_path) == ["0.npz"]
    assert "1 of 3 images fill" in capsys.readouterr().err
    assert little.workers(4) == 0  # only the process with the backbone can compute the others
    store(tmp_path, photos, backbone, room=1e-6).fill(range(3), "a later stage")
    assert kept(tmp_path) == ["0.npz"]  # what is there counts
    whole = store(tmp_path, photos, backbone)
    assert all(map(torch.equal, little[2].levels, whole[2].levels))
    nothing = store(tmp_path / "other", photos, backbone, room=0.0)
    nothing.fill(range(3), "test")
    assert kept(tmp_path / "other") == []


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_made_again(damage: bytes, tmp_path: Path, photos: TaggedImages, backbone: Backbone) -> None:
    features = store(tmp_path, photos, backbone)
    features.fill(range(3), "test")
    expected = features[1].levels
    features.run.features_path("1").write_bytes(damage)
    assert features.get(1) is None
    features.fill(range(3), "test")
    found = features.get(1)
    assert found is not None
    assert all(map(torch.equal, found.levels, expected))
