"""Pictures of the phenomenon: stitched photos, the CAMs of both images alone, and that of the stitched image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import relu

from ktse.files import atomic
from ktse.method.erasing import stitch
from ktse.models.cam_head import CamNetwork
from ktse.research.couples import Couple, Stitcher
from ktse.visual import heat_map

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Which couples are shown: from the most weakened to the most strengthened, so that none is chosen by eye."""

SIDE, GAP, CAPTION = 160, 12, 40
COLUMNS = 3


def write_pictures(path: Path, stitcher: Stitcher, couples: Sequence[Couple], changes: np.ndarray) -> None:
    """Draw the couples at the QUANTILES of the change that the image with the same class makes.

    Args:
        path: the PNG file.
        stitcher: network and images.
        couples: N anchors with what they are stitched to.
        changes: (N,) float, relative change under the condition "same"; NaN where there was no activation.
    """
    known = np.flatnonzero(np.isfinite(changes))
    order = known[np.argsort(changes[known], kind="stable")]
    places = dict.fromkeys(round(quantile * (len(order) - 1)) for quantile in QUANTILES) if len(order) else {}
    panels = [_panel(stitcher, couples[order[place]], changes[order[place]]) for place in places]
    if not panels:
        return
    rows = -(-len(panels) // COLUMNS)
    width, height = panels[0].size
    sheet = Image.new("RGB", (min(len(panels), COLUMNS) * (width + GAP) + GAP, rows * (height + GAP) + GAP), "white")
    for number, panel in enumerate(panels):
        sheet.paste(panel, (GAP + number % COLUMNS * (width + GAP), GAP + number // COLUMNS * (height + GAP)))
    with atomic(path) as part:
        sheet.save(part, format="PNG")


def _panel(stitcher: Stitcher, couple: Couple, change: float) -> Image.Image:
    axis, key = stitcher.axis, couple.key
    images = stitcher.images([couple.anchor, couple.same])
    anchor, same = images[:1], images[1:]
    alone = relu(stitcher.maps(images, [key, key]))
    together = relu(stitcher.stitched_maps(anchor, same, [key], alone))
    apart = stitch(alone[:1], alone[1:], axis)
    shown = _photo(stitch(anchor, same, axis)[0], stitcher.network)
    largest = float(torch.maximum(apart.max(), together.max())) or 1.0
    heats = [heat_map(shown, (score[0, 0] / largest).numpy()) for score in (apart, together)]
    names = ("anchor and pair", "CAM of each alone", "CAM when stitched")
    panel = Image.new("RGB", (shown.width * 3 + GAP, shown.height + CAPTION), "white")
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(13)
    draw.text((0, 2), f"{stitcher.data.classes[key]}: {100 * change:+.0f} % in the anchor's part", "black", font)
    for number, (name, picture) in enumerate(zip(names, (shown, *heats), strict=True)):
        left = number * (shown.width + GAP // 2)
        draw.text((left, 20), name, "#5a646e", font)
        panel.paste(picture, (left, CAPTION))
        across, down = left + shown.width // 2, CAPTION + shown.height // 2
        ends = {"height": (left, down, left + shown.width - 1, down), "width": (across, CAPTION, across, panel.height)}
        draw.line(ends[axis], "white")
    return panel


def _photo(image: Tensor, network: CamNetwork) -> Image.Image:
    """A normalised image as a photo, each of its two halves SIDE pixels large."""
    plain = image * network.std.view(3, 1, 1).cpu() + network.mean.view(3, 1, 1).cpu()
    pixels = (plain.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    short = min(pixels.shape[:2])
    size = (round(pixels.shape[1] * SIDE / short), round(pixels.shape[0] * SIDE / short))
    return Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
