"""The threshold of the pseudo-label, found from images and CAMs alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ktse.data.dataset import TaggedImages
from ktse.models.cam_head import CamHead, CamNetwork
from ktse.stages.background import around, background_threshold


class Brightness(nn.Module):
    """A backbone whose one channel is the image, smoothed: a CAM that spreads over the object's edge."""

    mean, std = torch.zeros(3), torch.ones(3)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(image[:, :1] * self.weight, 9, 4, padding=4)


def network() -> CamNetwork:
    head = CamHead(1, 1, 1)
    with torch.no_grad():
        head.reduce.weight.fill_(1)
        head.score.weight.fill_(1)
    return CamNetwork(Brightness(), head)


def squares(folder, grey: int) -> TaggedImages:
    names = []
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 12, (64, 64, 3), dtype=np.uint8)
        image[16:40, 12 + number : 44] = grey
        names.append(f"{number}.png")
        Image.fromarray(image).save(folder / names[-1])
    tags = np.ones((6, 1), dtype=bool)
    return TaggedImages(folder, tuple(names), tuple("012345"), ("square",), tags, np.zeros(6, dtype=bool))


def test_the_threshold_cuts_cams_at_the_edges_of_the_objects(tmp_path):
    data, net = squares(tmp_path, 230), network().train()
    found = background_threshold(net, data, 64, 10)
    assert 6 / 230 < found < 0.9  # between the noise, whose mean is 6 of 230, and the squares
    assert net.training


def test_without_images_to_look_at_there_is_no_threshold(tmp_path):
    data = squares(tmp_path, 230)
    none = TaggedImages(data.root, data.files, data.ids, data.classes, ~data.tags, data.validation)
    assert background_threshold(network(), none, 64, 10) is None


def test_the_two_background_scores_lie_around_the_threshold():
    assert around(0.4) == pytest.approx((0.46, 0.34))
    assert around(0.9) == pytest.approx((0.95, 0.765))  # never near 1, where nothing would be background
