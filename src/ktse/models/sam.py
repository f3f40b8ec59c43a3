"""Candidate masks of an image by a SAM (Kirillov et al., ICCV 2023) that the user has on disk; the extra `sam`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from ktse.data.transforms import long_side_size, to_tensor
from ktse.errors import RunError
from ktse.runtime.reading import reading

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Colours that a SAM's images are normalised by: ImageNet's."""

PROMPTS = 64
"""Prompts that go through the network at once."""


def require_sam(weights: str) -> None:
    """Make sure that the extra is installed and that the weights are those of a SAM.

    Raises:
        RunError: they are not.
    """
    if find_spec("transformers") is None:
        raise RunError(
            "the refiner sam needs the package transformers, which is not installed",
            hint='Install the extra sam: pip install "ktse[sam]". Or do without: --refine.method [par].',
        )
    folder = Path(weights)
    if not weights or not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise RunError(
            f"the weights of a SAM are missing: refine.sam_weights is {weights!r}",
            hint="Give a folder with config.json and model.safetensors as transformers' SamModel writes them, such as "
            "a download of facebook/sam-vit-base. ktse itself downloads nothing.",
        )
    config = folder / "config.json"
    with reading(config, "cannot be read", kind=RunError, most=1 << 20):
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    if kind != "sam":
        raise RunError(
            f"{folder} holds a model of the type {kind!r}, not a SAM",
            hint="The type sam is needed; its successors are other models with other prompts.",
        )


class Sam(nn.Module):
    """A SAM and what it needs around it.

    Args:
        model: transformers' SamModel.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.eval()
        self.side = int(model.config.vision_config.image_size)

    @torch.no_grad()
    def forward(self, image: Image.Image, points: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        """The masks that points and boxes suggest, three for each.

        Args:
            image: RGB.
            points: (P, 2), row and column on a grid of the given size.
            boxes: (B, 4), top, left, bottom, right on that grid.
            size: (height, width) of the grid and of the masks.

        Returns:
            (3 P + 3 B, height, width) bool.
        """
        device = next(self.parameters()).device
        width, height = long_side_size(image.size, self.side)
        # As SAM was trained: the longer side fits, the rest is black after normalisation at the right and below.
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        tensor = to_tensor(resized, torch.tensor(MEAN), torch.tensor(STD)).to(device)
        padded = pad(tensor, (0, self.side - width, 0, self.side - height))[None]
        embedding = self.model.get_image_embeddings(padded)
        # Prompts are x, y in pixels of the resized image; a point stands for the middle of its cell.
        scale = torch.tensor([width / size[1], height / size[0]], device=device)
        places = ((points.flip(-1) + 0.5) * scale)[None, :, None]
        corners = (boxes[:, [1, 0, 3, 2]] * scale.repeat(2))[None]
        found = [torch.zeros((0, *size), dtype=torch.bool, device=device)]
        for name, prompts in (("input_points", places), ("input_boxes", corners)):
            for part in torch.split(prompts.float(), PROMPTS, dim=1):
                if part.shape[1]:
                    logits = self.model(image_embeddings=embedding, multimask_output=True, **{name: part}).pred_masks
                    logits = logits.float().flatten(0, 2)[:, None]  # of the padded square
                    whole = interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
                    cut = interpolate(whole[..., :height, :width], size, mode="bilinear", align_corners=False)
                    found.append(cut[:, 0] > 0)
        return torch.cat(found)


def load_sam(weights: str) -> Sam:
    """Open a SAM from a local folder; the network is never asked.

    Raises:
        RunError: the extra or the weights are missing, or the weights cannot be used.
    """
    require_sam(weights)
    import transformers

    library = cast(Any, transformers)  # its types say little
    library.utils.logging.disable_progress_bar()
    with reading(weights, "cannot be opened as a SAM", kind=RunError):
        model, report = library.SamModel.from_pretrained(
            weights, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would fill them with random numbers
        raise RunError(f"{weights} does not hold all of a SAM", where=[f"{name} is missing" for name in missing])
    return Sam(model)
