"""seed: class activation maps of every image, over scales and mirror images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, relu

from ktse.data.dataset import TaggedImages
from ktse.data.image import at_most
from ktse.data.transforms import long_side_size, to_tensor
from ktse.features.store import Seen
from ktse.models.cam_head import CamNetwork
from ktse.recipe import COMPUTE, ComputeRecipe, SeedRecipe
from ktse.recipe.masks import SEED_PIXELS
from ktse.refinement.threshold import colour_regions, explained_labels
from ktse.run_folder import RunFolder, Seed
from ktse.runtime.claims import Part, SharedImages
from ktse.runtime.console import track
from ktse.runtime.fabric import make_fabric
from ktse.stages.classify import kept_features, load_network


def merge_cams(cams: Iterable[tuple[Tensor, bool]], keys: Tensor, size: tuple[int, int]) -> Tensor:
    """One soft score per tagged class from the CAMs of several scales (paper, section 4.1).

    Args:
        cams: (1, C, h, w) signed CAMs, each with whether it is of the mirror image.
        keys: (K,) indices of the tagged classes.
        size: (height, width) of the result.

    Returns:
        (K, height, width) float in 0..1; all zero for a class without positive activation.
    """
    total = torch.zeros((len(keys), *size), device=keys.device)
    if len(keys) == 0:  # an image without tags; interpolate refuses zero channels
        return total
    for cam, mirrored in cams:
        large = relu(interpolate(cam[:, keys].float(), size, mode="bilinear", align_corners=False))[0]
        total += large.flip(-1) if mirrored else large
    return total / (total.amax(dim=(-2, -1), keepdim=True) + 1e-5)


@torch.no_grad()
def image_cams(
    network: CamNetwork,
    image: Image.Image,
    keys: np.ndarray,
    recipe: SeedRecipe,
    fabric: Fabric,
    seen: tuple[Seen, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """CAMs and class scores of one image.

    Args:
        network: trained network in evaluation mode.
        image: RGB.
        keys: (K,) indices of the tagged classes.
        recipe: scales and sizes.
        fabric: device and precision.
        seen: what the network's frozen backbone sees in the image, and the longer side at which it does.

    Returns:
        cam (K, h, w) float16 in 0..1 and logits (C,) float32, averaged over scales.
    """
    whole = at_most(image.size, SEED_PIXELS)
    base = long_side_size(image.size, recipe.long_side) if recipe.long_side else whole
    logits, cams = [], []
    for scale in recipe.scales:
        size = (max(32, round(base[0] * scale)), max(32, round(base[1] * scale)))
        with fabric.autocast():
            if seen is not None and max(size) == seen[1]:
                cam = network.head(seen[0].joined(network.levels).to(fabric.device)).float()[:, 1:]
            else:
                tensor = to_tensor(image, network.mean, network.std, size)
                views = torch.stack([tensor, tensor.flip(-1)] if recipe.flip else [tensor])
                views = views.to(fabric.device, memory_format=torch.channels_last)
                # Without a GPU, two views at once are no faster, and take twice the memory.
                parts = [view[None] for view in views] if fabric.device.type == "cpu" else [views]
                cam = torch.cat([network.scores(part) for part in parts])[:, 1:]
            logits.append(network.head.classify(cam))
        cams += [(view[None], mirrored > 0) for mirrored, view in enumerate(network.head.evidence(cam))]
    small = (-(-whole[1] // recipe.stride), -(-whole[0] // recipe.stride))
    merged = merge_cams(cams, torch.from_numpy(keys).to(fabric.device), small)
    return merged.half().cpu().numpy(), torch.cat(logits).float().mean(dim=0).cpu().numpy()


def seed(run: RunFolder, data: TaggedImages, recipe: SeedRecipe, compute: ComputeRecipe = COMPUTE) -> None:
    """Write seeds/ID.npz for every image that has none yet."""
    fabric = make_fabric(compute.precision)
    network = load_network(run).to(fabric.device).to(memory_format=torch.channels_last)
    kept, long_side = kept_features(run, data)
    part = Part(run.root, "seed", "seed", run.key("seed"))
    images = SharedImages(len(data), lambda index: not run.seed_path(data.ids[index]).is_file(), part)
    for index in track(images, "seed", total=images.total, done=images.total - len(images.left)):
        keys = np.flatnonzero(data.tags[index])
        image = data.read(index)
        found = kept.get(index) if kept is not None else None
        cam, logits = image_cams(network, image, keys, recipe, fabric, found and (found, long_side))
        small = np.array(image.resize(cam.shape[:0:-1], Image.Resampling.BOX))
        explained = explained_labels(colour_regions(small), cam).astype(np.float32)
        run.write_seed(data.ids[index], Seed(keys.astype(np.int32), cam, logits, explained))
