"""Feature maps of a frozen backbone, one file for each image; what is too much to keep is computed again.

features/ID.npz   made_from, picture (3, h, w) uint8, and for each level its map, int8, with a scale for each channel

A file says what it was made from. So any of them may be removed at any time, and one of other images or another
backbone is never used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ktse.data.dataset import TaggedImages
from ktse.data.transforms import long_side_size, to_tensor
from ktse.errors import RunError
from ktse.files import read_npz, write_npz
from ktse.models.backbone import Backbone, join
from ktse.models.feature_head import FINER
from ktse.run_folder import RunFolder
from ktse.runtime.console import say, track
from ktse.runtime.processes import my_share, rank, wait_for_all, world_size
from ktse.runtime.reading import reading
from ktse.runtime.words import many

GIGABYTE = 10**9

LARGEST = 127
"""The int8 that stands for the largest activation of a channel."""


class Seen(NamedTuple):
    """One image as a frozen backbone sees it.

    Attributes:
        levels: float32 maps (K, h, w), the finest first, as `Backbone.levels_of` gives them.
        picture: (3, FINER h, FINER w) float32, 0..1, where (h, w) is the size of the last map.
    """

    levels: list[Tensor]
    picture: Tensor

    def joined(self, levels: int) -> Tensor:
        """Features of a network of so many levels, (1, K, h, w)."""
        return join([level[None] for level in self.levels[-levels:]])


class KeptFeatures:
    """The features of images that were computed before, and kept.

    Args:
        run: the run folder that keeps them.
        data: the images.
        made_by: which backbone has made them, and how (`FrozenFeatures.made_by`); others are not used.
    """

    def __init__(self, run: RunFolder, data: TaggedImages, made_by: str) -> None:
        self.run, self.data, self.made_by = run, data, made_by

    def get(self, index: int) -> Seen | None:
        """The features of an image, if they were kept and the image is still the same."""
        path = self.run.features_path(self.data.ids[index])
        if not path.is_file():
            return None
        try:
            with reading(path, kind=RunError):
                found = read_npz(path)
                return _unpacked(found) if str(found.get("made_from", "")) == self.made_from(index) else None
        except RunError:  # a file that was cut short is made again
            return None

    def made_from(self, index: int) -> str:
        """What the file of an image says that it was made from."""
        return f"{self.made_by} {self.data.stamp(index)}"


class FrozenFeatures(KeptFeatures):
    """The features of images, each computed once while there is room for it.

    Args:
        run: the run folder that keeps them.
        data: the images.
        backbone: frozen; in any mode.
        long_side: pixels of the longer side at which images are seen.
        room: gigabytes that the files of all images may take; images beyond them are computed again each time.
        fabric: device and precision.

    Attributes:
        complete: whether `fill` has kept everything; otherwise reading needs the backbone and its device.
    """

    complete = False

    def __init__(
        self, run: RunFolder, data: TaggedImages, backbone: Backbone, long_side: int, room: float, fabric: Fabric
    ) -> None:
        digest = hashlib.sha256(f"{backbone.levels} {backbone.output_stride} {long_side}".encode())
        for weight in backbone.state_dict().values():
            digest.update(weight.detach().cpu().numpy().tobytes())
        super().__init__(run, data, digest.hexdigest()[:16])
        backbone.freeze_batch_norm()
        self.backbone = backbone.eval().to(fabric.device).to(memory_format=torch.channels_last)
        self.long_side, self.room, self.fabric = long_side, room, fabric

    def fill(self, indices: Iterable[int], label: str) -> None:
        """Compute what is not kept yet, this process its share of it, as long as there is room.

        Args:
            indices: of images.
            label: words before the progress bar.
        """
        wanted = list(indices)
        mine = my_share(wanted)
        left = [index for index in mine if self.get(index) is None]
        there = set(mine) - set(left)
        taken, done = sum(self.run.features_path(self.data.ids[index]).stat().st_size for index in there), 0
        for index in track(left, f"{label}: features", total=len(mine), done=len(mine) - len(left)):
            if taken * world_size() >= self.room * GIGABYTE:
                break
            path = self.run.features_path(self.data.ids[index])
            write_npz(path, compress=False, **self._compute(index))
            taken, done = taken + path.stat().st_size, done + 1
        if done < len(left) and rank() == 0 and self.room > 0:
            say(
                f"{label}: features of {len(mine) - len(left) + done:,} of {many(len(mine), 'image')} fill the "
                f"{self.room:g} GB of compute.cache; those of the others are computed each time"
            )
        wait_for_all()
        self.complete = all(self.run.features_path(self.data.ids[index]).is_file() for index in wanted)

    def workers(self, wanted: int) -> int:
        """Processes that may read features: none besides the one that has the backbone where that is still needed."""
        return wanted if self.complete else 0

    def __getitem__(self, index: int) -> Seen:
        """The features of an image, computed where they were not kept."""
        return self.get(index) or _unpacked(self._compute(index))

    @torch.no_grad()
    def _compute(self, index: int) -> dict[str, np.ndarray]:
        image = self.data.read(index, self.long_side)
        size = long_side_size(image.size, self.long_side)
        tensor = to_tensor(image, self.backbone.mean, self.backbone.std, size)[None]
        with self.fabric.autocast():
            levels = self.backbone.levels_of(tensor.to(self.fabric.device, memory_format=torch.channels_last))
        last = levels[-1].shape[-2:]
        height, width = (FINER * side for side in last)
        picture = np.array(image.resize((width, height), Image.Resampling.BOX)).transpose(2, 0, 1)
        found: dict[str, np.ndarray] = {"made_from": np.array(self.made_from(index)), "picture": picture}
        for number, level in enumerate(levels):
            # A whole multiple of the last one's size, so that images of different sizes can be filled up to one.
            sides = [round(side / least) * least for side, least in zip(level.shape[-2:], last, strict=True)]
            values = interpolate(level.float(), sides, mode="bilinear", align_corners=False)[0]
            scale = (values.abs().amax(dim=(1, 2)) / LARGEST).clamp(min=1e-8)
            found[f"scale_{number}"] = scale.cpu().numpy()
            found[f"level_{number}"] = (values / scale[:, None, None]).round().to(torch.int8).cpu().numpy()
        return found


def _unpacked(found: dict[str, Any]) -> Seen:
    levels, number = [], 0
    while f"level_{number}" in found:
        scale = torch.from_numpy(found[f"scale_{number}"])[:, None, None]
        levels.append(torch.from_numpy(found[f"level_{number}"]).float().mul_(scale))
        number += 1
    return Seen(levels, torch.from_numpy(found["picture"]).float() / 255)
