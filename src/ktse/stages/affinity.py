"""affinity: train IRN's boundary network on confident seeds; only the refiner irn needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader

from ktse.data.dataset import TaggedImages
from ktse.data.transforms import TrainingTransform
from ktse.files import label_type, write_label_map
from ktse.models.affinity import STRIDE, AffinityNetwork
from ktse.models.weights import load_into, load_tensors, normalisation, require_header, save_model
from ktse.recipe import COMPUTE, AffinityRecipe, ComputeRecipe
from ktse.recipe.masks import SEED_PIXELS
from ktse.refinement.dense_crf import FOR_SEEDS, crf_labels
from ktse.refinement.pairs import IrnTerms, irn_terms, pair_labels
from ktse.refinement.par import pixel_adaptive_refinement
from ktse.run_folder import RunFolder
from ktse.runtime.console import track
from ktse.runtime.fabric import make_fabric
from ktse.runtime.workers import in_processes
from ktse.stages.masked_images import MaskedImages
from ktse.training.batches import make_loader
from ktse.training.loop import fit
from ktse.training.task import EpochEnd, EpochPlan, State, parameter_groups, poly

HALF = 0.5
"""Published weight of each loss term."""

OUTPUT_STRIDE, WEIGHT_DECAY = 16, 1e-4
"""Published: pixels of the image per pixel of the backbone's coarsest level; L2 penalty on weights, not on biases."""


def confident_label(for_high: np.ndarray, for_low: np.ndarray, keys: np.ndarray, classes: int) -> np.ndarray:
    """Combine two label maps: class where the first says so, background where both do, undecided elsewhere.

    Args:
        for_high: (H, W) integer, 0 background, k the k-th key; from the high background score.
        for_low: the same from the low background score.
        keys: (K,) class indices 0..C-1.
        classes: number of classes C.

    Returns:
        (H, W) uint8 or uint16 (see label_type).
    """
    kind = label_type(classes)
    names = np.concatenate([[0], keys + 1]).astype(kind)
    label: np.ndarray = names[for_high]
    label[(for_high == 0) & (for_low > 0)] = np.iinfo(kind).max
    return label


def background_maps(image: np.ndarray, cam: np.ndarray, recipe: AffinityRecipe) -> list[np.ndarray]:
    """Label maps with the high and with the low background score, before the CRF.

    Args:
        image: (H, W, 3) uint8.
        cam: (K, h, w) float in 0..1; K may be 0.
        recipe: background scores, and whether PAR makes the scores follow the image.

    Returns:
        two (H, W) int64, 0 background, k the k-th class of the CAM.
    """
    size = image.shape[:2]
    if not cam.any():
        # No tag: background. A tag without any activation: the CAM has failed, so that nothing is known.
        return [np.zeros(size, dtype=np.int64), np.full(size, min(1, len(cam)), dtype=np.int64)]
    large = interpolate(torch.from_numpy(cam)[None].float(), size, mode="bilinear", align_corners=False)
    maps = []
    for background in (recipe.background_high, recipe.background_low):
        scores = torch.cat([torch.full_like(large[:, :1], background), large], dim=1)
        if recipe.labels == "par":
            picture = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            scores = pixel_adaptive_refinement(picture, scores)
        maps.append(scores[0].argmax(dim=0).numpy())
    return maps


def _finish(image: np.ndarray, maps: list[np.ndarray], labels: int, crf: bool) -> np.ndarray:
    """Both label maps, stacked, after what is to be done in many processes."""
    return np.stack([crf_labels(image, label, labels, FOR_SEEDS) if crf else label for label in maps])


def make_labels(run: RunFolder, data: TaggedImages, recipe: AffinityRecipe, workers: int = -1) -> None:
    """Write affinity/labels/ID.png for every training image that has none yet.

    Raises:
        RunError: the labels are to go through the CRF, and the extra is not installed.
    """
    training, crf = data.training.tolist(), recipe.labels == "crf"
    left = [index for index in training if not run.affinity_label_path(data.ids[index]).is_file()]

    def jobs() -> Iterator[tuple[Any, ...]]:
        for index in left:
            image, cam = np.array(data.read(index, pixels=SEED_PIXELS)), run.seed(data.ids[index]).cam
            yield image, background_maps(image, cam, recipe), len(cam) + 1, crf

    results = in_processes(_finish, jobs(), workers if crf else 0)
    shown = track(left, f"confident seeds ({recipe.labels})", total=len(training), done=len(training) - len(left))
    for index, (for_high, for_low) in zip(shown, results, strict=True):
        label = confident_label(for_high, for_low, np.flatnonzero(data.tags[index]), len(data.classes))
        write_label_map(run.affinity_label_path(data.ids[index]), label)


class AffinityTask:
    """The boundary network as a training task."""

    def __init__(self, run: RunFolder, data: TaggedImages, recipe: AffinityRecipe, compute: ComputeRecipe) -> None:
        self.run, self.data, self.recipe, self.compute = run, data, recipe, compute
        self.network = AffinityNetwork(recipe.backbone, OUTPUT_STRIDE, recipe.weights, recipe.backbone_lr > 0)
        self.module: nn.Module = self.network
        self.undecided = int(np.iinfo(label_type(len(data.classes))).max)
        mean, std = normalisation(self.network).values()
        self.transform = TrainingTransform(recipe.long_side, recipe.crop, 0.0, mean, std, self.undecided)

    def images(self) -> list[int]:
        """Indices of the training images."""
        return [int(index) for index in self.data.training]

    def name(self, index: int) -> str:
        """The name of an image."""
        return self.data.ids[index]

    def plan(self, state: State) -> EpochPlan | None:
        """Every epoch alike, the learning rate falling to zero."""
        recipe = self.recipe
        if state.epoch >= recipe.epochs:
            return None
        terms, loader = dict.fromkeys(IrnTerms._fields, HALF), partial(self._loader, state.epoch)

        def lr(progress: float) -> float:
            return poly((state.epoch + progress) / recipe.epochs)

        return EpochPlan("affinity", recipe.batch_size, lambda _: terms, lr, recipe.momentum, loader, recipe.epochs)

    def _loader(self, epoch: int, batches: list[list[int]]) -> DataLoader[Any]:
        dataset = MaskedImages(self.run.affinity_label_path, self.data, self.transform, self.compute.random_seed, epoch)
        return make_loader(dataset, batches, self.compute.workers)

    def losses(self, module: nn.Module, batch: Any, weights: Mapping[str, float], state: State) -> dict[str, Tensor]:
        """IRN's terms on the label map at the network's stride; batch: images (B, 3, H, W) and labels (B, H, W)."""
        image, label = batch
        small = label[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        labels = pair_labels(small, self.recipe.radius, self.undecided)
        maps = module(image.contiguous(memory_format=torch.channels_last))
        terms = irn_terms(maps.edge.sigmoid(), maps.displacement, labels, self.recipe.radius)._asdict()
        state.count(**terms, batches=1)
        return terms

    def watch(self, state: State) -> None:
        """Labels are fixed: nothing collapses."""

    def end_epoch(self, state: State) -> EpochEnd:
        """Say the mean of the two terms that the masks depend on."""
        same, different = (state.totals[name] / state.totals["batches"] for name in ("same", "different"))
        pairs = f"loss of pairs alike {same:.3f}, of pairs apart {different:.3f}"
        return EpochEnd(f"epoch {state.epoch} of {self.recipe.epochs}: {pairs}")


def affinity(run: RunFolder, data: TaggedImages, recipe: AffinityRecipe, compute: ComputeRecipe = COMPUTE) -> None:
    """Write affinity/labels/ID.png, then affinity/model.safetensors; an interrupted call goes on where it stopped."""
    folder = run.path("affinity")
    fabric = make_fabric(compute.precision)
    if fabric.global_rank == 0:
        make_labels(run, data, recipe, compute.workers)
    fabric.barrier()
    torch.manual_seed(compute.random_seed)
    task = AffinityTask(run, data, recipe, compute)
    network, lr = task.network, recipe.lr
    groups = parameter_groups(*network.branches(), lr, recipe.head_lr, WEIGHT_DECAY)
    groups += parameter_groups(network.backbone, nn.Identity(), lr * recipe.backbone_lr, 1.0, WEIGHT_DECAY)
    key = run.key("affinity")
    fit(task, groups, fabric, folder, random_seed=compute.random_seed, label="affinity", key=key)
    header = {"key": key, "backbone": recipe.backbone, "output_stride": OUTPUT_STRIDE, **normalisation(network)}
    if fabric.global_rank == 0:
        save_model(folder / "model.safetensors", network.state_dict(), header)
    fabric.barrier()


def load_affinity(run: RunFolder) -> AffinityNetwork:
    """The trained boundary network of a run, in evaluation mode.

    Raises:
        RunError: there is none.
    """
    path = run.own(run.path("affinity", "model.safetensors"))
    tensors, header = load_tensors(path)
    require_header(path, header, "backbone output_stride mean std")
    network = AffinityNetwork(header["backbone"], header["output_stride"], "none")
    network.mean, network.std = torch.tensor(header["mean"]), torch.tensor(header["std"])
    load_into(network, tensors, path)
    return network.eval()
