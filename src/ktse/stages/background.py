"""The background scores of SSR's pseudo-label, found from the CAMs and the images alone."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import relu

from ktse.data.dataset import TaggedImages
from ktse.data.transforms import long_side_size, to_tensor
from ktse.features.store import FrozenFeatures
from ktse.method.erasing import EPSILON, tagged_channels
from ktse.models.cam_head import CamNetwork
from ktse.refinement.par import GROWTH, pixel_adaptive_refinement
from ktse.refinement.threshold import BINS, colour_regions, explained_share, explained_threshold

SPREAD = 0.15
"""How far the two background scores lie from the threshold, as a share of it."""

SAMPLE = 128
"""Images that are looked at; their thresholds are so much alike that more change little."""


@torch.no_grad()
def background_threshold(
    network: CamNetwork, data: TaggedImages, long_side: int, iterations: int, seen: FrozenFeatures | None = None
) -> float | None:
    """The background score at which the colours of the images explain the CAMs best, refined as in the pseudo-label.

    Args:
        network: in any mode; it comes back in the same.
        data: images and tags; some of the training images are looked at.
        long_side: pixels of the longer side at which they are looked at.
        iterations: iterations of PAR.
        seen: the images as its frozen backbone sees them, at whatever size, instead of the images themselves.

    Returns:
        0..1, or None if colours explain no mask.
    """
    tagged = data.training[data.tags[data.training].any(axis=1)]
    chosen = tagged[np.linspace(0, len(tagged) - 1, min(SAMPLE, len(tagged))).astype(int)] if len(tagged) else tagged
    training, device = network.training, next(network.parameters()).device
    network.eval()
    total = np.zeros(BINS)
    for index in chosen:
        keys, _ = tagged_channels(torch.from_numpy(data.tags[index : index + 1]).float())
        if seen is None:
            image = data.read(int(index), long_side)
            image = image.resize(long_side_size(image.size, long_side), Image.Resampling.BICUBIC)
            small = np.array(image.reduce(2))
            cam = network.scores(to_tensor(image, network.mean, network.std)[None].to(device))[:, 1:]
        else:
            found = seen[int(index)]
            small = (255 * found.picture).round().to(torch.uint8).permute(1, 2, 0).numpy()
            cam = network.head(found.joined(network.levels).to(device)).float()[:, 1:]
        positive = relu(network.head.evidence(cam)[:, keys[0].to(device)])
        normalised = positive / (positive.amax(dim=(-2, -1), keepdim=True) + EPSILON)
        picture = torch.from_numpy(small).permute(2, 0, 1)[None].to(device).float() / 255
        refined = pixel_adaptive_refinement(picture, normalised, iterations)[0] / GROWTH**iterations
        total += explained_share(colour_regions(small), refined.clamp(0, 1).cpu().numpy())
    network.train(training)
    return explained_threshold(total)


def around(threshold: float) -> tuple[float, float]:
    """High and low background score of the pseudo-label, a share above and below a threshold, within 0.02..0.95."""
    return min(0.95, threshold * (1 + SPREAD)), max(0.02, threshold * (1 - SPREAD))
