"""Predictions of a video, frame by frame; PyAV (the extra video) decodes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ktse.errors import DataError, KtseError
from ktse.prediction.files import add_confidences, is_done, predict_file, tidy
from ktse.prediction.predictor import Predictor
from ktse.runtime.console import track
from ktse.runtime.words import many

ENDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv")
"""Endings, in lower case, of files that are taken for videos."""


def is_video(path: Path) -> bool:
    """Whether a file is called like a video."""
    return path.suffix.lower() in ENDINGS


def predict_video(predictor: Predictor, clip: Path, out: Path) -> list[Path]:
    """Write the predictions of every frame as OUT/CLIP/NUMBER.png, numbers from 000000; what is finished is left alone.

    Returns:
        the label maps, those of an earlier call included.

    Raises:
        DataError: the file is no video, or is damaged (the frames before the damage are written).
        KtseError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise KtseError("PyAV, which reads videos, is not installed", hint="pip install 'ktse[video]'") from error
    written = []
    try:
        with av.open(str(clip)) as container:
            if not container.streams.video:
                raise DataError(f"{clip} holds no pictures", hint="Give a video, an image or a folder of images.")
            stream = container.streams.video[0]
            frames: Iterator[Any] = container.decode(stream)
            for number, frame in enumerate(track(frames, "predict", total=stream.frames)):
                name = f"{clip.stem}/{number:06d}"
                if not is_done(predictor, out, name):
                    add_confidences(out, {name: predict_file(predictor, upright(frame), out, name)})
                written.append(out / f"{name}.png")
    except av.FFmpegError as error:
        hint = f"Already written: the predictions of {many(len(written), 'frame')}." if written else ""
        where = str(error).splitlines()[0]
        raise DataError(f"{clip} cannot be read as a video", where=where, hint=hint) from error
    finally:
        tidy(out)
    return written


def upright(frame: Any) -> Image.Image:
    """A decoded frame as RGB, turned as the camera was held."""
    image: Image.Image = frame.to_image()
    # Older versions of PyAV do not know the rotation, which is counterclockwise, as Pillow's is.
    turned = getattr(frame, "rotation", 0)
    return image.rotate(turned, expand=True) if turned else image
