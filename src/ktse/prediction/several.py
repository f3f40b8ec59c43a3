"""Predictions of several images that are given one by one, as a shell makes them of ``photos/*.jpg``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ktse.data.image import read_image
from ktse.data.names import image_ids
from ktse.errors import DataError
from ktse.prediction.files import predict_all
from ktse.prediction.predictor import Predictor
from ktse.prediction.video import is_video


def check_several(images: Sequence[Path]) -> None:
    """Make sure that several arguments are images.

    Raises:
        DataError: some are folders or videos, or do not exist; all of them are named.
    """
    problems = [f"{path} does not exist" for path in images if not path.exists()]
    problems += [f"{path} is a folder" for path in images if path.is_dir()]
    problems += [f"{path} is a video" for path in images if path.is_file() and is_video(path)]
    if problems:
        hint = "Give several images, or one folder, or one video."
        raise DataError(f"{len(problems)} of {len(images)} arguments are no images", where=problems, hint=hint)


def predict_several(predictor: Predictor, images: Sequence[Path], out: Path) -> list[Path]:
    """Write the predictions of several images, named as those of the folder that they have in common.

    Args:
        predictor: what predicts.
        images: files; one that is given twice is predicted once.
        out: the folder.

    Returns:
        the label maps, those of an earlier call included.

    Raises:
        DataError: images that cannot be read (the others are written first).
    """
    files = list(dict.fromkeys(Path(os.path.abspath(path)) for path in images))  # noqa: PTH100 (links stay as they are)
    common = Path(os.path.commonpath([file.parent for file in files]))
    names = image_ids([file.relative_to(common).as_posix() for file in files])
    return predict_all(
        predictor, {name: partial(read_image, file) for name, file in zip(names, files, strict=True)}, out
    )
