"""Batches, tiny networks and weights for the tests of the objective."""

import torch
from torch import nn

from ktse.method.objective import Batch
from ktse.models.cam_head import CamHead, CamNetwork
from ktse.recipe import LossWeights
from ktse.recipe.load import to_dict

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
WEIGHTS = to_dict(LossWeights())  # the official recipe has the same
RIVALS = {"erased_classification", "attraction", "repulsion"}
EVERY = WEIGHTS | dict.fromkeys(RIVALS, 0.15)
ONLY_CLASSIFICATION = dict.fromkeys(WEIGHTS, 0.0) | {"classification": 1.0}


def a_batch(tags, pairs=0, classes=4, height=32, width=32):
    """Random images with the given tags, the first of them paired with images of the same tags."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.zeros(len(tags), classes)
    for row, own in zip(rows, tags, strict=True):
        row[own] = 1
    image, paired = (torch.randn(count, 3, height, width, generator=generator) for count in (len(tags), pairs))
    return Batch(image, rows, paired, rows[:pairs])


def tiny_network(classes, hidden=8):
    """The trunk of the published reference step, at stride 8."""
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Conv2d(3, 16, 5, 4, 2, bias=False), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1, bias=False), nn.ReLU()
    )
    return CamNetwork(trunk, CamHead(24, classes, hidden))


class Scripted(CamNetwork):
    """Answers its passes with given score maps, and keeps the images that it was shown."""

    def __init__(self, *answers):
        super().__init__(nn.Identity(), CamHead(1, 1, 1))
        self.answers, self.passes = list(answers), []

    def scores(self, image):
        self.passes.append(image)
        return self.answers.pop(0)


def weighted_sum(losses):
    return sum(EVERY[name] * loss for name, loss in losses.items())
