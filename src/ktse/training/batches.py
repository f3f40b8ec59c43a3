"""The images of an epoch: their order, batches, each device's part of them, and who reads them."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ktse.runtime.fabric import find_device
from ktse.runtime.processes import own_cores


def epoch_batches(images: list[int], batch_size: int, random_seed: int, epoch: int) -> list[list[int]]:
    """The images of an epoch, shuffled by (random_seed, epoch), in batches; the last one may be smaller.

    A last batch of one image joins the one before, as a batch norm over a single value has no spread.
    """
    generator = torch.Generator().manual_seed(random_seed * 1_000_003 + epoch)
    order = [images[i] for i in torch.randperm(len(images), generator=generator).tolist()]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        last = batches.pop()
        batches[-1] += last
    return batches


def repeated(images: list[int], least: int) -> list[int]:
    """The images of an epoch, as often as it takes to be at least so many."""
    return images * max(1, -(-least // max(1, len(images))))


def mostly(strong: list[int], others: list[int], share: float, count: int, random_seed: int) -> list[int]:
    """So many images, of which a share is of the strong ones; each is there as often as any other of its kind.

    Args:
        strong: images with labels that are right.
        others: the rest; which of them are taken is random.
        share: of strong images, 0..1; all where there are no others.
        count: number of images.
        random_seed: which of the others are taken.
    """
    generator = torch.Generator().manual_seed(random_seed)
    shuffled = [others[i] for i in torch.randperm(len(others), generator=generator).tolist()]
    many = round(share * count) if others else count
    return list(islice(cycle(strong), many if strong else 0)) + list(islice(cycle(shuffled), count - many))


def share_of(batches: list[list[int]], rank: int, world: int) -> list[list[int]]:
    """Cut out a device's part of each batch; of many devices each gets at least two images, some of them twice.

    A batch norm over a single value has no spread.
    """
    least = 2 * world if world > 1 else 1
    return [[(batch * least)[i] for i in range(rank, max(len(batch), least), world)] for batch in batches]


def make_loader(dataset: Dataset[Any], batches: list[list[int]], workers: int, collate: Any = None) -> DataLoader[Any]:
    """A loader of given batches; -1 workers chooses by the number of cores.

    Without a GPU, two cores are better off without a worker, which would take its time from the network.
    """
    cores, cuda = own_cores(), find_device() == "cuda"
    spare = 0 if cores <= 2 and not cuda else cores - 1
    count = min(8, spare) if workers < 0 else workers
    # A generator of its own: making a loader draws a number, which must not disturb dropout after a resume.
    own = torch.Generator()
    return DataLoader(
        dataset, batch_sampler=batches, generator=own, num_workers=count, collate_fn=collate, pin_memory=cuda
    )
