from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ktse.errors import RunError
from ktse.files import read_lines
from ktse.recipe import LossWeights
from ktse.reporting.curves import thin, training


@pytest.mark.parametrize("count", [0, 1, 199, 200, 1000, 4321])
def test_thinning_keeps_means(count: int) -> None:
    rng = np.random.default_rng(count)
    x, y = np.arange(count) / 7, rng.normal(size=count)
    few_x, few_y = thin(x.tolist(), y.tolist())
    assert len(few_x) == len(few_y) == min(count, 200)
    if not count:
        return
    sizes = np.diff(np.linspace(0, count, len(few_x) + 1).round())
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_allclose((few_y * sizes).sum() / count, y.mean(), atol=1e-9)
    np.testing.assert_allclose((few_x * sizes).sum() / count, x.mean())
    if count <= 200:
        np.testing.assert_array_equal(few_y, y)


def test_terms_weights_and_where_ktse_begins() -> None:
    entries = [{"epoch": e / 4, "lr": 0.1, "total": 1.0, "terms": {"classification": 0.5}} for e in range(8)]
    entries += [
        {"epoch": e / 4, "lr": 0.1, "total": 2.0, "terms": {"classification": 0.5, "inter_class": -0.1}}
        for e in range(8, 16)
    ]
    found = training(entries, LossWeights())
    assert found is not None and found.begin == 2.0
    assert [panel.title for panel in found.panels] == [
        "Total",
        "Classification",
        "Gap between classes",
        "Learning rate",
    ]
    assert [panel.weight for panel in found.panels] == [None, 1.0, 0.005, None]


def test_a_plain_cam_has_no_beginning() -> None:
    found = training([{"epoch": 0.5, "terms": {"classification": 0.5}}])
    assert found is not None and found.begin is None and len(found.panels) == 1


def test_what_was_given_up_is_pale() -> None:
    epochs = [0.0, 1.0, 2.0, 3.0, 4.0, 2.5, 3.5, 4.5]
    found = training([{"epoch": epoch, "terms": {"classification": epoch}} for epoch in epochs])
    assert found is not None
    svg = str(found.panels[0].chart)
    assert svg.count("<polyline") == 2 and svg.count("faint") == 1


def test_events_and_entries_without_values() -> None:
    entries = [
        {"epoch": 1, "event": "collapse"},
        {"event": "no epoch"},
        {"epoch": 2, "terms": {"classification": None}},
        {},
    ]
    found = training(entries)
    assert found is not None and found.remarks == [(1.0, "collapse"), (None, "no epoch")] and not found.panels
    assert training([]) is None and training([{}]) is None


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_lines(path) == []
    lines = [json.dumps({"epoch": number}) for number in range(3)]
    path.write_text("\n".join([*lines, '{"epoch": 3, "te']))
    assert len(read_lines(path)) == 3
    path.write_text("\n".join([lines[0], "broken", lines[1]]))
    with pytest.raises(RunError, match="line 2"):
        read_lines(path)
