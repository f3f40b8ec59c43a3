"""Scores enlarged a few rows at a time are those enlarged at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from ktse.refinement import bands as module
from ktse.refinement.bands import bands


@pytest.mark.parametrize("kind", [np.uint8, np.float16])
@pytest.mark.parametrize("size", [(61, 47), (7, 5), (1, 9), (200, 3)])
@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_bands_put_together_are_the_whole(
    kind: type, size: tuple[int, int], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BAND", 4 * 2 * size[1] * rows)
    stored = (np.random.default_rng(0).random((2, 13, 11)) * (255 if kind is np.uint8 else 1)).astype(kind)
    found = list(bands(stored, size))
    assert [part.stop - part.start for part, _ in found][:-1] == [rows] * (len(found) - 1)
    assert [part.start for part, _ in found] == list(range(0, size[0], rows))
    whole = torch.from_numpy(stored.astype(np.float32) / (255 if kind is np.uint8 else 1))
    expected = interpolate(whole[None], size, mode="bilinear", align_corners=False)[0].numpy()
    np.testing.assert_allclose(np.concatenate([block for _, block in found], axis=1), expected, atol=1e-6)


def test_without_a_class_there_are_rows_all_the_same() -> None:
    (part,) = bands(np.zeros((0, 4, 4), dtype=np.uint8), (8, 6))
    assert part[0] == slice(0, 8)
    assert part[1].shape == (0, 8, 6)
