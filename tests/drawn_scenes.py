"""A run on tiny scenes whose CAMs are made from the true masks, so that the stages after the seed can be tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import open_folder
from ktse.data.dataset import TaggedImages
from ktse.data.demo.scenes import make_scenes
from ktse.files import read_label_map, write_npz
from ktse.recipe import AffinityRecipe, ComputeRecipe
from ktse.run_folder import RunFolder

HERE = ComputeRecipe(workers=0, precision="fp32")
"""The same numbers everywhere, in one process."""


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, masks/ and tags.csv; the first image without tags."""
    folder = tmp_path_factory.mktemp("scenes") / "tiny"
    make_scenes(folder, images=9, size=(150, 130))
    table = (folder / "tags.csv").read_text().splitlines()
    table[1] = table[1].split(",")[0] + ","
    (folder / "tags.csv").write_text("\n".join(table))
    return folder


@pytest.fixture(scope="session")
def data(scenes: Path) -> TaggedImages:
    return open_folder(scenes / "images", scenes / "tags.csv", validation=0.15)


@pytest.fixture
def run(tmp_path: Path, scenes: Path, data: TaggedImages) -> RunFolder:
    """A run folder with seeds: the true masks, blurred, at stride 4. The last image's CAM is empty."""
    folder = RunFolder(tmp_path / "run")
    for index, name in enumerate(data.ids):
        true = read_label_map(scenes / "masks" / f"{name}.png")
        keys = np.flatnonzero(data.tags[index]).astype(np.int32)
        size = (-(-true.shape[1] // 4), -(-true.shape[0] // 4))
        cam = np.zeros((len(keys), size[1], size[0]), dtype=np.float16)
        for place, key in enumerate(keys):
            soft = Image.fromarray((true == key + 1).astype(np.float32)).resize(size, Image.Resampling.BOX)
            cam[place] = 0 if index == len(data) - 1 else np.asarray(soft) * 0.9
        write_npz(folder.seed_path(name), keys=keys, cam=cam, logits=np.zeros(len(data.classes), dtype=np.float32))
    return folder


@pytest.fixture
def tiny() -> AffinityRecipe:
    """A boundary network that trains in seconds."""
    return AffinityRecipe(
        backbone="resnet10t", weights="none", backbone_lr=1.0, head_lr=1.0, labels="par", radius=4, crop=64,
        long_side=(64, 90), batch_size=4, epochs=2,
    )  # fmt: skip
