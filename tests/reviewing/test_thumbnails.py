"""The small photos of the page."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from ktse.files import write_label_map
from ktse.reviewing.pictures import Pictures
from ktse.run_folder import RunFolder
from reviewed_run import NAMES, SIZE, open_pictures


def test_small_photos_are_made_once_and_again_for_another_photo(pictures: Pictures, reviewed: RunFolder) -> None:
    path, photo = reviewed.path(".thumbnails", "beach", "001.jpg"), pictures.data.path(0)
    reviewed.mask_path("beach/001").unlink()
    pictures.thumbnail(0)
    Image.new("RGB", SIZE, (0, 0, 0)).save(path)  # is shown, so it is not made again
    assert np.asarray(Image.open(BytesIO(open_pictures(reviewed).thumbnail(0)))).max() < 20
    Image.new("RGB", SIZE, (255, 255, 255)).save(photo)
    assert np.asarray(Image.open(BytesIO(open_pictures(reviewed).thumbnail(0)))).min() > 235
    path.write_bytes(b"no picture")
    assert np.asarray(Image.open(BytesIO(open_pictures(reviewed).thumbnail(0)))).min() > 235


def test_a_thumbnail_shows_the_layer_that_is_asked_for(pictures: Pictures, reviewed: RunFolder) -> None:
    index = pictures.index(NAMES[0])
    assert index is not None
    photo, mask = pictures.thumbnail(index, "fused"), pictures.thumbnail(index)
    assert photo != mask  # there is no fused mask yet
    write_label_map(reviewed.fused_path(NAMES[0]), reviewed.mask(NAMES[0]))
    assert pictures.thumbnail(index, "fused") == mask
