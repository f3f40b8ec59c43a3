"""Simplified polygons: within their tolerance, with fewer points, and with the cost that is said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from drawn_runs import drawn_run
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from ktse.errors import ExportError
from ktse.exporting.export import Wishes
from ktse.exporting.masks import export_masks
from ktse.exporting.outlines import polygons, rings
from ktse.exporting.simplify import Simplifier, inside, simplified

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def distance(points: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Distance of each point from a closed line, by 400 points on each of its edges."""
    share = np.linspace(0, 1, 400)[:, None, None]
    line = (ring * (1 - share) + np.roll(ring, -1, axis=0) * share).reshape(-1, 2)
    return np.sqrt(((points[:, None] - line[None]) ** 2).sum(axis=-1)).min(axis=1)


@given(MASKS, st.sampled_from([0.5, 1.0, 2.0]))
def test_no_corner_is_further_away_than_the_tolerance(mask: np.ndarray, tolerance: float) -> None:
    for ring in rings(mask):
        found = simplified(ring, tolerance)
        assert 3 <= len(found) <= len(ring)
        assert {tuple(point) for point in found} <= {tuple(point) for point in ring}
        assert distance(ring.astype(float), found.astype(float)).max() <= tolerance + 0.02


@given(MASKS)
def test_exact_polygons_fill_exactly_the_mask(mask: np.ndarray) -> None:
    filled = np.zeros(mask.shape, bool)
    for polygon in polygons(mask):
        filled |= inside(polygon, mask.shape)
    np.testing.assert_array_equal(filled, mask)


def test_a_disc_keeps_its_area_with_a_fraction_of_its_points() -> None:
    canvas = Image.new("L", (200, 200))
    ImageDraw.Draw(canvas).ellipse((20, 20, 180, 180), fill=1)
    ImageDraw.Draw(canvas).ellipse((80, 80, 120, 120), fill=0)
    mask, simplifier = np.asarray(canvas) > 0, Simplifier(1.5)
    (polygon,) = simplifier.polygons(mask)
    assert len(polygon) == simplifier.kept < 0.2 * simplifier.exact
    assert not inside(polygon, mask.shape)[95:105, 95:105].any()  # the hole is still one
    assert simplifier.both / simplifier.either > 0.97


@pytest.mark.parametrize("form", ["coco", "cvat", "yolo", "labelstudio"])
def test_the_log_says_what_it_saves_and_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg", "b.jpg"))
    sizes = []
    for tolerance in (0.0, 1.0, 3.0):
        main = export_masks(run, data, form, tmp_path / str(tolerance), simplify=tolerance)
        sizes.append(sum(path.stat().st_size for path in main.parent.rglob("*") if path.is_file()))
        said = capsys.readouterr().err
        found = re.search(r"([\d,]+) points instead of ([\d,]+) \((\d+)% fewer\); IoU .* ([\d.]+)%", said)
        assert (found is not None) == (tolerance > 0)
        if found:
            kept, exact, saved = (int(found[number].replace(",", "")) for number in (1, 2, 3))
            assert saved == round(100 * (1 - kept / exact)) > 20
            assert 60 < float(found[4]) < 100
    assert sizes[2] < sizes[1] and (form in ("coco", "cvat") or sizes[1] < sizes[0])


def test_simplified_coco_has_polygons_and_exact_coco_run_lengths(tmp_path: Path) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg",))
    kinds = [
        {type(entry["segmentation"]) for entry in json.loads(path.read_text())["annotations"]}
        for path in (export_masks(run, data, "coco", tmp_path / str(t), simplify=t) for t in (0.0, 1.0))
    ]
    assert kinds == [{dict}, {list}]


@pytest.mark.parametrize(
    ("form", "wishes", "text"),
    [
        ("voc", Wishes(simplify=1), "for polygons"),
        ("onnx", Wishes(simplify=1), "for polygons"),
        ("yolo", Wishes(simplify=-1), "0 or more"),
        ("yolo", Wishes(simplify=float("nan")), "0 or more"),
        ("coco", Wishes(prefix="x"), "for labelstudio alone"),
        ("coco", Wishes(int8=True), "for onnx alone"),
    ],
)
def test_what_a_format_cannot_do_is_said(form: str, wishes: Wishes, text: str) -> None:
    with pytest.raises(ExportError, match=text):
        wishes.check(form)
