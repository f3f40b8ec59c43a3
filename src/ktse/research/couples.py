"""phenomenon: how the CAM of an anchor image changes once a second image is stitched to it (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.functional import interpolate, pad, relu

from ktse.data.dataset import TaggedImages
from ktse.data.transforms import long_side_size, to_tensor
from ktse.method.erasing import max_normalise, stitch
from ktse.models.cam_head import CamNetwork
from ktse.models.weights import load_into, load_tensors
from ktse.recipe import ClassifyRecipe
from ktse.research.changes import CONDITIONS
from ktse.run_folder import RunFolder
from ktse.runtime.console import track
from ktse.stages.classify import KEPT, WARMUP, load_network

AREA_ABOVE = 0.3
"""Max-normalised activation from which a pixel counts as covered: the high background score of the paper."""

BATCH = 8


class Couple(NamedTuple):
    """An anchor and what it is stitched to.

    Attributes:
        anchor: index of the image.
        key: index of one of its classes, of which everything is measured.
        same: another image of that class.
        other: an image with tags, but without any of the anchor's; -1 if there is none.
    """

    anchor: int
    key: int
    same: int
    other: int


@dataclass(frozen=True)
class Activations:
    """What is measured in the anchor's part; column 0 is the anchor alone, the others are CONDITIONS.

    Attributes:
        mean: (N, 5) mean activation (ReLU) of the couple's class; NaN where a condition has no image.
        area: (N, 5) share of pixels whose max-normalised activation is above AREA_ABOVE.
        lines: (N, 5, h) mean activation along lines parallel to the seam, the one at the seam last.
    """

    mean: np.ndarray
    area: np.ndarray
    lines: np.ndarray


@dataclass(frozen=True)
class Stitcher:
    """Stitches images and computes their CAMs, as training does, but without its chances.

    Attributes:
        network: in evaluation mode, on the device of the fabric.
        data: images and tags.
        recipe: of the training: size of the images, stitching axis.
        fabric: device and precision.
    """

    network: CamNetwork
    data: TaggedImages
    recipe: ClassifyRecipe
    fabric: Fabric

    @property
    def axis(self) -> Literal["height", "width"]:
        """The axis along which is stitched; the height where training draws it."""
        return "width" if self.recipe.objective.stitch == "width" else "height"

    def images(self, indices: Sequence[int]) -> Tensor:
        """Images at the size of training: the middle of the range of sizes, the middle of the image.

        Returns:
            (N, 3, crop, crop) float32, normalised; what lies outside an image has the mean colour.

        Raises:
            DataError: an image cannot be read.
        """
        target, crop = sum(self.recipe.long_side) // 2, self.recipe.crop
        images = []
        for index in indices:
            image = self.data.read(index, target)
            tensor = to_tensor(image, self.network.mean, self.network.std, long_side_size(image.size, target))
            missing = [max(0, crop - side) for side in tensor.shape[-2:]]
            tensor = pad(tensor, (missing[1] // 2, -(-missing[1] // 2), missing[0] // 2, -(-missing[0] // 2)))
            top, left = ((side - crop) // 2 for side in tensor.shape[-2:])
            images.append(tensor[:, top : top + crop, left : left + crop])
        return torch.stack(images)

    @torch.no_grad()
    def maps(self, images: Tensor, keys: Sequence[int]) -> Tensor:
        """The signed CAM of one class of each image: (N, 3, H, W) to (N, 1, h, w) float32 on the CPU."""
        batch = images.to(self.fabric.device, memory_format=torch.channels_last)
        with self.fabric.autocast():
            scores = self.network.scores(batch)
        return torch.stack([scores[row, 1 + key] for row, key in enumerate(keys)])[:, None].float().cpu()

    def stitched_maps(self, anchors: Tensor, others: Tensor, keys: Sequence[int], alone: Tensor) -> Tensor:
        """The signed CAM of stitched images, each half as large as the map of an image alone, as in training."""
        height, width = alone.shape[-2:]
        size = (2 * height, width) if self.axis == "height" else (height, 2 * width)
        whole = self.maps(stitch(anchors, others, self.axis), keys)
        return interpolate(whole, size, mode="bilinear", align_corners=False)


def choose_couples(data: TaggedImages, count: int, random_seed: int) -> list[Couple]:
    """Draw anchors among the training images, each once, with a class and images to stitch them to.

    Images whose classes no other image has are left out.

    Args:
        data: images and tags.
        count: how many at most.
        random_seed: of every choice.
    """
    rng = np.random.default_rng(random_seed)
    training = data.training
    tags = data.tags[training]
    couples: list[Couple] = []
    for place in rng.permutation(len(training)).tolist():
        keys = np.flatnonzero(tags[place])
        if len(couples) == count or len(keys) == 0:
            continue
        key = int(rng.choice(keys))
        alike = np.flatnonzero(tags[:, key])
        alike = alike[alike != place]
        foreign = np.flatnonzero(tags.any(axis=1) & ~tags[:, keys].any(axis=1))
        if len(alike):
            other = int(training[rng.choice(foreign)]) if len(foreign) else -1
            couples.append(Couple(int(training[place]), key, int(training[rng.choice(alike)]), other))
    return couples


def kept_networks(run: RunFolder, epochs: int) -> list[tuple[str, int]]:
    """Files of the networks that classify has kept, with the epochs that each was trained, in that order."""
    folder = run.path("classify")
    earlier = {epoch: KEPT.format(epoch) for epoch in range(1, epochs) if (folder / KEPT.format(epoch)).is_file()}
    if (folder / WARMUP).is_file():
        earlier |= {int(load_tensors(folder / WARMUP)[1]["state"]["epoch"]): WARMUP}
    earlier.pop(epochs, None)
    return [*((earlier[epoch], epoch) for epoch in sorted(earlier)), ("model.safetensors", epochs)]


def kept_network(run: RunFolder, name: str) -> CamNetwork:
    """The network of a file of kept_networks, in evaluation mode."""
    network = load_network(run)
    if name != "model.safetensors":
        path, prefix = run.path("classify", name), "model/network."
        tensors = load_tensors(path)[0]
        load_into(network, {key.removeprefix(prefix): value for key, value in tensors.items() if prefix in key}, path)
    return network.eval()


def measure(stitcher: Stitcher, couples: Sequence[Couple], label: str) -> Activations:
    """Measure every couple under every condition.

    Args:
        stitcher: network and images.
        couples: N anchors with what they are stitched to.
        label: words before the progress bar.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    starts = range(0, len(couples), BATCH)
    for start in track(starts, label, total=len(starts)):
        chunk = couples[start : start + BATCH]
        anchors = stitcher.images([couple.anchor for couple in chunk])
        same = stitcher.images([couple.same for couple in chunk])
        other = stitcher.images([couple.other if couple.other >= 0 else couple.anchor for couple in chunk])
        partners = {"same": same, "other": other, "blank": torch.zeros_like(anchors), "itself": anchors}
        keys = [couple.key for couple in chunk]
        alone = stitcher.maps(anchors, keys)
        columns = [_numbers(alone, alone, stitcher.axis)]
        for condition in CONDITIONS:
            whole = stitcher.stitched_maps(anchors, partners[condition], keys, alone)
            columns.append(_numbers(whole[..., : alone.shape[-2], : alone.shape[-1]], whole, stitcher.axis))
        stacked = [np.stack(values, axis=1) for values in zip(*columns, strict=True)]
        lacking = np.array([couple.other < 0 for couple in chunk])
        for values in stacked:
            values[lacking, 1 + list(CONDITIONS).index("other")] = np.nan
        parts.append(tuple(stacked))
    return Activations(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _numbers(part: Tensor, whole: Tensor, axis: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean activation, covered share and activation by line of the anchor's part of a map."""
    positive = relu(part)[:, 0]
    normalised = max_normalise(whole)[..., : part.shape[-2], : part.shape[-1]]
    along = positive.mean(dim=2) if axis == "height" else positive.mean(dim=1)
    area = (normalised > AREA_ABOVE).float().mean(dim=(1, 2, 3))
    return positive.mean(dim=(1, 2)).numpy(), area.numpy(), along.numpy()
