"""What happens to an image before the network: random resize, flip, crop and colour; deterministic for each sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

Triple: TypeAlias = Sequence[float]
"""A number for each colour."""


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Draw random numbers that depend on these numbers alone, and leave the global generator as it was.

    A sample's augmentation depends on (random seed, epoch, index), so that it is the same with any number of workers or
    devices and after a resume.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1)
        yield


class TrainingTransform:
    """Random resize of the long side, mirror, colour jitter, normalisation, and a crop padded with the mean colour.

    Args:
        long_side: range in pixels from which the longer side is drawn.
        crop: side of the square crop in pixels.
        jitter: strength of brightness, contrast and saturation changes, 0..1.
        mean, std: normalisation, three numbers each.
        ignored: label of the padding in a label map.
    """

    def __init__(
        self, long_side: tuple[int, int], crop: int, jitter: float, mean: Triple, std: Triple, ignored: int = 255
    ) -> None:
        self.long_side = long_side
        self.flip = v2.RandomHorizontalFlip()
        self.colour = v2.ColorJitter(jitter, jitter, jitter) if jitter > 0 else v2.Identity()
        to_float = v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)
        fill = {tv_tensors.Image: 0, tv_tensors.Mask: ignored}
        crop_at_random = v2.RandomCrop(crop, pad_if_needed=True, fill=fill)
        self.finish = v2.Compose([to_float, v2.Normalize(list(mean), list(std)), crop_at_random])

    def __call__(self, image: Image.Image, label: np.ndarray | None = None) -> tuple[Tensor, Tensor | None]:
        """Transform an RGB image and, with the same random choices, its label map.

        Args:
            image: RGB.
            label: (H, W) integer label map, or None.

        Returns:
            (3, crop, crop) float32 and (crop, crop) int64, or None.
        """
        (view,), labels = self.together(image, [] if label is None else [label])
        return view, None if label is None else labels[0]

    def together(self, image: Image.Image, labels: Sequence[np.ndarray], views: int = 1) -> tuple[list[Tensor], Tensor]:
        """Transform an RGB image and several label maps with the same random choices.

        Args:
            image: RGB.
            labels: L integer maps (H, W).
            views: number of copies of the image, each in colours of its own.

        Returns:
            `views` times (3, crop, crop) float32; (L, crop, crop) int64, `ignored` outside of the image.
        """
        low, high = self.long_side
        target = int(torch.randint(low, high + 1, ()))
        size = long_side_size(image.size, target)
        sample = tv_tensors.Image(F.pil_to_tensor(image.resize(size, Image.Resampling.BICUBIC)))
        maps = torch.zeros((0, size[1], size[0]), dtype=torch.int64)
        if labels:
            resized = [Image.fromarray(label).resize(size, Image.Resampling.NEAREST) for label in labels]
            maps = torch.stack([torch.from_numpy(np.array(label).astype(np.int64)) for label in resized])
        sample, planes = self.flip(sample, tv_tensors.Mask(maps))
        images = [self.colour(sample) for _ in range(views)]
        *found, out_labels = self.finish(*images, planes)
        return [one.as_subclass(Tensor) for one in found], out_labels.as_subclass(Tensor)


def long_side_size(size: tuple[int, int], target: int) -> tuple[int, int]:
    """(width, height) with the longer side at `target` and the other one rounded half to even; at least 1."""
    width, height = size
    if width < height:
        return max(1, round(width * target / height)), target
    return target, max(1, round(height * target / width))


def to_tensor(image: Image.Image, mean: Tensor, std: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Normalise an RGB image, resized bicubically to (width, height) if that is given.

    Returns:
        (3, H, W) float32.
    """
    if size is not None and size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    tensor = F.to_dtype(F.pil_to_tensor(image), torch.float32, scale=True)
    normalised: Tensor = (tensor - mean.view(3, 1, 1).cpu()) / std.view(3, 1, 1).cpu()
    return normalised
