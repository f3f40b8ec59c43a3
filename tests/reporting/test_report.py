from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ktse.data.masks import Truth
from ktse.data.sample import TaggedImages
from ktse.errors import RunError
from ktse.recipe import Recipe
from ktse.reporting import write_model_card, write_report
from ktse.run_folder import RunFolder, write_json

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What a page shows and what it refers to; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.stack: list[str] = []
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.stack.append(tag)
        named = dict(attrs)
        self.references += [named[key] or "" for key in ("src", "href", "srcset", "action", "data") if key in named]
        self.ids += [named["id"] or ""] if "id" in named else []
        if tag == "img":
            self.images.append(named)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        self.words += " " if tag in ("td", "th", "title", "text") else ""

    def handle_data(self, data: str) -> None:
        if "style" not in self.stack:
            self.words += re.sub(r"\s+", " ", data)


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner, key)
    elif isinstance(value, float):
        yield key, value


@pytest.fixture(scope="session")
def page(finished: Any) -> Page:
    return read(write_report(finished.run, finished.data, finished.truth))


def test_it_is_self_contained(page: Page, finished: Any) -> None:
    text = finished.run.path("report.html").read_text()
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert not re.search(r"https?://|@import|url\(|<script|<iframe|\son\w+=", text)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert len(text) < 3_000_000
    assert not list(finished.run.root.glob(".*.part"))


def test_every_number_of_the_evaluation_is_there(page: Page, finished: Any) -> None:
    found = set(re.findall(r"-?\d[\d,]*\.\d+", page.words))
    for key, value in numbers(finished.evaluation()):
        if key == "undecided":
            wanted = f"{100 * value:.1f}"
        elif key in ("threshold", "thresholds"):
            wanted = f"{value:.2f}"
        elif key == "scales":
            continue
        else:
            wanted = f"{value:.1f}"
        places = {wanted, wanted.rstrip("0").rstrip(".")} if key == "thresholds" else {wanted}
        assert places & (found | set(page.words.split())), (key, value)


def test_it_says_what_the_numbers_are(page: Page) -> None:
    assert "15 images, 7 classes. The masks reach 41.2 mIoU on the 15 images with a true mask" in page.words
    assert "the segmentation model, which sees no tags, reaches 39.4." in page.words
    for word in (
        "Oracle, seed",
        "Oracle, mask",
        "chosen from the scores of all images",
        "not used",
        "given",
        "Undecided",
    ):
        assert word in page.words
    assert "The class hat occurs in 9 images only" in page.words
    assert "collapse: went back to epoch 7.5" in page.words
    assert "1 h 12 min" in page.words and "torch 2.8.0" in page.words and "ktse predict" in page.words
    assert "background_high: 0.3" in page.words
    assert "averaged over 7 or 8 classes" in page.words


def test_every_picture_has_words_and_the_best_comes_first(page: Page, finished: Any) -> None:
    assert len(page.images) == 12 * 5
    assert all(image["alt"] for image in page.images)
    rows = finished.run.path("evaluation_images.csv").read_text().splitlines()[1:]
    scores = {row.split(",")[0]: float(row.split(",")[3]) for row in rows}
    assert page.images[0]["alt"] == f"Photo {max(scores, key=scores.__getitem__)}"
    worst = page.words[page.words.index("Worst") :]
    assert worst.split()[1] == min(scores, key=scores.__getitem__)


def test_without_truth(blind: Any) -> None:
    page = read(write_report(blind.run, blind.data, None))
    assert (
        "No true masks were given, so accuracy is unknown; look first at the least confident masks below." in page.words
    )
    assert "#least" in page.references and "least" in page.ids
    assert page.words.index("Least confident") < page.words.index("Most confident")
    assert "True mask" not in [image["alt"] for image in page.images]
    assert "--masks DIR" in page.words
    assert "The masks were cut at a threshold of 0.53" in page.words


def test_with_nothing_but_a_recipe(bare: Any) -> None:
    page = read(write_report(bare.run, bare.data, None))
    for words in ("There are no masks yet", "has not been measured yet", "nothing to rank", "not been trained yet"):
        assert words in page.words
    assert "No stage has run yet" in page.words
    assert not page.images


def test_truth_that_was_not_yet_measured(blind: Any) -> None:
    page = read(write_report(blind.run, blind.data, blind.truth))
    assert "not yet measured against the true masks" in page.words
    assert any((image["alt"] or "").startswith("True mask") for image in page.images)


def test_names_are_escaped(bare: Any) -> None:
    odd = '<b>&"'
    classes = (odd, "<script>alert(1)</script>", *bare.data.classes[2:])
    data = replace(bare.data, classes=classes)
    part = {
        "miou": 12.34,
        "iou": {"background": 50.0, odd: 1.2},
        "images": 3,
        "tags_used": True,
        "threshold_source": odd,
    }
    curve = {"thresholds": [0.1, 0.2], "miou": [3.0, 4.0]}
    write_json(
        bare.run.path("evaluation.json"),
        {
            "mask": {**part, "curve": curve},
            "warnings": [odd],
            "tags": {"train": {"by_class": {odd: {"images": 1, "ap": 5.0}}}},
        },
    )
    bare.run.path("classify").mkdir()
    bare.run.path("classify", "metrics.jsonl").write_text(json.dumps({"epoch": 1.0, "terms": {odd: 0.5}, "event": odd}))
    page = read(write_report(bare.run, data, None))
    assert page.words.count(odd) >= 4
    assert "script" not in page.tags


@pytest.mark.parametrize(("used", "better"), [("final", "warmup"), ("warmup", "warmup"), ("final", "unclear")])
def test_the_network_of_the_seeds_is_said(bare: Any, used: str, better: str) -> None:
    source = {"used": used, "better": better, "warmup": 0.1234, "final": 0.1, "low": -0.03, "high": -0.02, "images": 64}
    write_json(bare.run.path("masks", "summary.json"), {"threshold": 0.4, "seed_source": source})
    words = " ".join(read(write_report(bare.run, bare.data, None)).words.split())
    assert ("The one at the end of the warm-up" in words) == (used == "warmup")
    assert ("warm-up are clearly better" in words) == (better == "warmup")
    assert "compared on 64 images" in words and "warm-up 0.123" in words


def test_what_the_segmentation_model_has_learned_is_said(bare: Any) -> None:
    useless = "The segmentation model is of no use: it labels 0.1% of the pixels."
    write_json(
        bare.run.path("segment", "summary.json"),
        {"agreement": 0.2361, "crops": 64, "warnings": [useless], "repeated": 2},
    )
    words = " ".join(read(write_report(bare.run, bare.data, None)).words.split())
    assert "On 64 crops of training images, model and masks agree with an mIoU of 23.6 %" in words
    assert "Training collapsed 2 times" in words
    assert words.index(useless) < words.index("Training collapsed")
    card = " ".join(write_model_card(bare.run, bare.data, None).read_text(encoding="utf-8").split())
    assert "agree with an mIoU of 23.6 %" in card and useless in card


def test_background_alone_is_no_success(bare: Any) -> None:
    iou = {"background": 86.8} | dict.fromkeys(bare.data.classes, 0.4)
    write_json(bare.run.path("evaluation.json"), {"mask": {"miou": 12.4, "iou": iou}})
    assert "Mask: no class reaches an IoU of 5 %" in read(write_report(bare.run, bare.data, None)).words


def test_missing_keys_and_failed_stages(bare: Any) -> None:
    write_json(bare.run.path("evaluation.json"), {"mask": {"miou": None}, "seed": {"iou": {}}, "tags": {"train": {}}})
    bare.run.record("segment", {"state": "failed", "message": "out of memory"})
    bare.run.record("classify", {})
    page = read(write_report(bare.run, bare.data, None))
    assert "The stage segment failed: out of memory" in page.words
    assert page.words.index("classify") < page.words.rindex("segment")


@pytest.mark.parametrize(
    "name",
    [
        "evaluation.json",
        "manifest.json",
        "masks/summary.json",
        "segment/summary.json",
        "masks/confidence.csv",
        "evaluation_images.csv",
    ],
)
def test_a_damaged_file_is_named(bare: Any, name: str) -> None:
    path = bare.run.path(*name.split("/"))
    path.parent.mkdir(exist_ok=True)
    path.write_text("{half" if name.endswith("json") else 'x,y\n1,"2')
    with pytest.raises(RunError, match=path.name):
        write_report(bare.run, bare.data, None)
    assert not bare.run.path("report.html").exists()


def test_damaged_pictures(blind: Any) -> None:
    blind.run.mask_path(blind.data.ids[0]).write_bytes(b"no picture")
    with pytest.raises(RunError, match=r"0000\.png"):
        write_report(blind.run, blind.data, None)


def test_photos_that_moved_away(blind: Any) -> None:
    for name in blind.data.files:
        (blind.data.root / name).unlink()
    assert "The photo cannot be read" in read(write_report(blind.run, blind.data, None)).words


def test_many_classes(tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(300))
    tags = np.zeros((2, 300), dtype=bool)
    tags[0, 299] = True
    data = TaggedImages(tmp_path, ("a.png", "b.png"), ("a", "b"), classes, tags, np.zeros(2, dtype=bool))
    run = RunFolder(tmp_path / "run")
    run.write_recipe(Recipe())
    iou = {"background": 90.0} | dict.fromkeys(classes, 10.0)
    by_class = {name: {"images": 1, "precision": 1.0, "recall": 1.0, "ap": 1.0} for name in classes}
    part = {"miou": 11.1, "iou": iou, "oracle": {"miou": 12.2, "threshold": 0.3, "iou": iou}, "images": 2}
    write_json(run.path("evaluation.json"), {"mask": part, "tags": {"train": {"images": 2, "by_class": by_class}}})
    page = read(write_report(run, data, Truth({})))
    assert page.words.count("class 299") == 3
    assert page.tags.count("details") == 4
    assert "averaged over 301 classes:" in page.words


def test_ids_in_folders(blind: Any) -> None:
    run, data = blind.run, blind.data
    (data.root / "sub").mkdir()
    (data.root / data.files[0]).rename(data.root / "sub" / data.files[0])
    moved = replace(data, files=(f"sub/{data.files[0]}", *data.files[1:]), ids=(f"sub/{data.ids[0]}", *data.ids[1:]))
    table = run.path("masks", "confidence.csv")
    table.write_text(table.read_text().replace("\n0000,", "\nsub/0000,"))
    page = read(write_report(run, moved, None))
    assert "sub/0000" in page.words and "none for this image" in page.words


def test_no_torch() -> None:
    code = "import sys, ktse.reporting, ktse.visual; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
