from __future__ import annotations

import base64
import hashlib
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
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth
from ktse.errors import RunError
from ktse.files import write_json, write_label_map
from ktse.quality.verdict import Sign, Verdict
from ktse.recipe import Recipe
from ktse.reporting.model_card import write_model_card
from ktse.reporting.page import write_report
from ktse.run_folder import RunFolder

VOID = {"meta", "link", "img", "br"}
LIMIT = 5 * 2**20


class Page(HTMLParser):
    """What a page shows and what it refers to; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.heard: list[str] = []
        self.order: list[tuple[str, str]] = []
        self.unnamed = 0
        self.stack: list[str] = []
        self.feed(text)
        self.words = "".join(self.heard)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.stack.append(tag)
        named = dict(attrs)
        self.references += [named[key] or "" for key in ("src", "href", "srcset", "action", "data") if key in named]
        self.ids += [named["id"] or ""] if "id" in named else []
        self.order.append((tag, named.get("class") or named.get("id") or ""))
        if tag == "svg":  # either decoration, or with a name for those who cannot see it
            self.unnamed += not (named.get("aria-hidden") or (named.get("role") == "img" and named.get("aria-label")))
        if tag == "img" and named.get("src"):
            self.images.append(named)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        if tag in ("td", "th", "title", "text", "li", "p", "h1", "h2", "h3", "span", "figure"):
            self.heard.append(" ")

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.stack):
            self.heard.append(re.sub(r"\s+", " ", data))


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


def words(fake: Any, *, truth: bool = True) -> str:
    return read(write_report(fake.run, fake.data, fake.truth if truth else None)).words


def test_it_is_self_contained(page: Page, finished: Any) -> None:
    text = finished.run.path("report.html").read_text()
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert not re.search(r"https?://|@import|url\(|<iframe|\son\w+=", text)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert len(text) < LIMIT
    assert not list(finished.run.root.glob(".*.part"))


def test_only_its_own_script_may_run(finished: Any, page: Page) -> None:
    text = finished.run.path("report.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in text and f"script-src 'sha256-{digest}'" in text


@pytest.mark.parametrize(("level", "said"), [("good", "Good"), ("look", "Look at it"), ("do-not-use", "Do not use")])
def test_the_verdict_is_the_first_thing_on_the_page(judged: Any, level: str, said: str) -> None:
    fake = judged(level)
    page = read(write_report(fake.run, fake.data, fake.truth))
    body = page.order[page.order.index(("body", "")) :]
    assert body[1] == ("header", f"verdict {level}")
    assert [tag for tag, _ in body].index("h1") < 6  # nothing but the name of the run before it
    heading = page.words[page.words.index("ktse report of") :].split()
    assert " ".join(heading[4 : 4 + len(said.split())]) == said
    assert page.words.index(said) < page.words.index("Pictures") < page.words.index("All images")
    assert f"icon {level}" in dict(reversed(page.order)).get("svg", "") or ("svg", f"icon {level}") in body[:8]


def test_signs_have_their_class_and_a_command_to_copy(judged: Any) -> None:
    fake = judged("look")
    text = write_report(fake.run, fake.data, fake.truth).read_text()
    assert "hat : The masks of 'hat' are empty." in " ".join(words(fake).split()).replace("hat:", "hat :")
    root = re.escape(str(fake.run.root))
    assert re.search(rf'<span class="command"><code>ktse refine {root} --calibrate DIR</code><button', text)
    assert re.search(rf"<code>ktse check {root}</code>", text)  # RUN became the run's own folder
    assert text.index("The masks of") < text.index('id="images"')


def test_each_class_has_its_level(judged: Any) -> None:
    fake = judged("look")
    text = " ".join(words(fake).split())
    levels = text[text.index("Class by class") : text.index("Pictures")]
    assert levels.index("Do not use") < levels.index("hat") < levels.index("Look at it") < levels.index("dress")
    assert levels.index("dress") < levels.index("Good") < levels.index("bag")


def test_a_run_that_must_not_be_used_is_not_praised(judged: Any) -> None:
    fake = judged("do-not-use")
    text = words(fake)
    assert "Good" not in text and "ktse predict" not in text and "ktse export" not in text
    assert "the verdict holds for all of them" in text
    assert "Masks are <b>noise</b>." in text
    assert "ktse predict" in words(judged("look"))


def test_a_run_without_a_verdict_says_how_to_get_one(finished: Any, page: Page) -> None:
    start = page.words[page.words.index("ktse report of") : page.words.index("Pictures")]
    assert "Not judged yet" in start and f"ktse evaluate {finished.run.root}" in start


def test_every_class_has_a_row_and_its_picture_of_truth_beside_the_mask(finished: Any, page: Page) -> None:
    text = finished.run.path("report.html").read_text()
    section = text[text.index('id="images"') : text.index('id="look"')]
    rows = section.split("<article>")[1:]
    assert [re.search(r"<h3>([^<]+)", row)[1].strip() for row in rows] == list(finished.data.classes)  # type: ignore[index]
    shown = [re.search(r'class="id">([^<]+)', row)[1] for row in rows]  # type: ignore[index]
    assert len(set(shown)) == len(shown)
    for row, image_id, k in zip(rows, shown, range(len(rows)), strict=True):
        assert finished.data.tags[finished.data.ids.index(image_id), k]
        assert re.findall(r'<figure class="(\w+)">', row) == ["photo", "cam", "mask", "truth", "prediction"]


def test_images_that_need_a_look_have_low_confidence_and_are_not_shown_twice(finished: Any, page: Page) -> None:
    text = finished.run.path("report.html").read_text()
    confidence = {}
    for line in finished.run.path("masks", "confidence.csv").read_text().splitlines()[1:]:
        confidence[line.split(",")[0]] = float(line.split(",")[1])
    classes, look = text[text.index('id="images"') : text.index('id="draw"')].split('id="look"')
    shown = re.findall(r'class="about"><span class="id">([^<]+)', look)
    assert shown and not set(shown) & set(re.findall(r'class="about"><span class="id">([^<]+)', classes))
    assert [confidence[name] for name in shown] == sorted(confidence[name] for name in shown)
    assert max(confidence[name] for name in shown) <= sorted(confidence.values())[len(confidence) // 2]


def test_five_images_to_draw_and_the_command(blind: Any) -> None:
    text = write_report(blind.run, blind.data, None).read_text()
    section = text[text.index('id="draw"') : text.index('id="numbers"')]
    named = re.findall(r'<span class="id">([^<]+)</span><span class="small">([^<]+)', section)
    assert len(named) == 5
    occurring = {tag for _, tags in named for tag in tags.split(", ")}
    assert f"{len(occurring)} of 7 classes occur" in section
    assert f"ktse refine {blind.run.root} --calibrate DIR" in section
    assert f"DIR/{named[0][0]}.png" in section
    for k, name in enumerate(blind.data.classes, 1):
        assert f"{k} {name}" in section


def test_the_list_holds_every_image_the_least_confident_first(finished: Any, page: Page) -> None:
    text = finished.run.path("report.html").read_text()
    rows = text[text.index('id="list"') : text.index('id="experts"')].split("<tr>")[2:]
    names = [re.search(r'<td class="id">([^<]+)', row)[1] for row in rows]  # type: ignore[index]
    assert sorted(names) == sorted(finished.data.ids)
    values = [float(re.search(r'<td class="num">([\d.]+)', row)[1]) for row in rows]  # type: ignore[index]
    assert values == sorted(values)
    assert "<dialog" in text and text.count('class="zoom" disabled') == text.count('class="zoom"')


def test_warnings_of_check_and_of_stages_are_there_once(blind: Any) -> None:
    write_json(blind.run.path("check.json"), {"warnings": ["the class 'hat' has only 2 images", "twice"]})
    write_json(blind.run.path("masks", "summary.json"), {"warnings": ["twice"]})
    text = words(blind)
    assert "the class 'hat' has only 2 images" in text and text.count("twice") == 1 and "2 warnings" in text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.71, "agrees with"),
        (0.3, "agrees in part with"),
        (0.05, "says little about"),
        (-0.4, "is the opposite of"),
        (None, "is not measured"),
    ],
)
def test_what_is_said_of_the_confidence_follows_from_its_measure(blind: Any, value: float | None, said: str) -> None:
    mask = {"miou": 40.0, "iou": {"background": 80.0, "hat": 40.0}, "images": 7, "confidence_images": 7}
    write_json(blind.run.path("evaluation.json"), {"mask": {**mask, "confidence_correlation": value}})
    text = words(blind)
    text = text[text.index("All images") :]
    others = {"agrees with", "agrees in part with", "says little about", "is the opposite of", "is not measured"}
    assert [one for one in others if one in text] == [said]


def test_percentages_have_their_sign(page: Page) -> None:
    measures = page.words[page.words.index("Measures") : page.words.index("All images")]
    assert not re.search(r"\d\.\d(?! %)", measures)


def test_every_chart_has_a_name(page: Page) -> None:
    assert page.unnamed == 0 and page.tags.count("svg") > 10


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
    assert "15 images · 7 classes · true masks: 15 of 15 images · mIoU of the masks 41.2 %" in page.words
    for text in ("chosen from the scores of all images", "not used", "given", "Undecided", "15 of 15"):
        assert text in page.words
    assert "The class hat occurs in 9 images only" in page.words
    assert "collapse: went back to epoch 7.5" in page.words
    assert "1 h 12 min" in page.words and "torch 2.8.0" in page.words and "ktse predict" in page.words
    assert "background_high: 0.3" in page.words
    assert "Mask: the best threshold gives 1.1 points of mIoU more" in page.words


def test_every_picture_has_words(page: Page) -> None:
    assert len(page.images) >= 7 * 5 + 15 and all(image["alt"] for image in page.images)


def test_without_truth(blind: Any) -> None:
    page = read(write_report(blind.run, blind.data, None))
    assert "Not measured; true masks: 0 of 7 images." in page.words
    assert f"ktse evaluate {blind.run.root} --masks DIR" in page.words
    assert not any((image["alt"] or "").startswith("True mask") for image in page.images)
    assert "Threshold of the masks: 0.53" in page.words


def test_with_nothing_but_a_recipe(bare: Any) -> None:
    page = read(write_report(bare.run, bare.data, None))
    for text in ("Not judged yet", "Not measured", "No mask has a confidence yet", "not trained yet"):
        assert text in page.words
    assert "No stage has run yet" in page.words
    assert page.images and all((image["alt"] or "").startswith("Photo") for image in page.images)


def test_truth_that_was_not_yet_measured(blind: Any) -> None:
    page = read(write_report(blind.run, blind.data, blind.truth))
    assert "Not measured; true masks: 7 of 7 images. This measures them:" in page.words
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
    assert page.tags.count("script") == 1 and page.tags.count("b") < 20
    assert "<script>alert" not in bare.run.path("report.html").read_text()


@pytest.mark.parametrize(("used", "better"), [("final", "warmup"), ("warmup", "warmup"), ("final", "unclear")])
def test_the_network_of_the_seeds_is_said(bare: Any, used: str, better: str) -> None:
    source = {"used": used, "better": better, "warmup": 0.1234, "final": 0.1, "low": -0.03, "high": -0.02, "images": 64}
    write_json(bare.run.path("masks", "summary.json"), {"threshold": 0.4, "seed_source": source})
    text = " ".join(read(write_report(bare.run, bare.data, None)).words.split())
    assert ("network at the end of the warm-up" in text) == (used == "warmup")
    assert ("the warm-up is clearly better" in text) == (better == "warmup")
    assert "Compared on 64 images" in text and "warm-up 0.123" in text


def test_what_the_segmentation_model_has_learned_is_said(bare: Any) -> None:
    useless = "The segmentation model is of no use: it labels 0.1% of the pixels."
    write_json(
        bare.run.path("segment", "summary.json"),
        {"agreement": 0.2361, "crops": 64, "warnings": [useless], "repeated": 2},
    )
    text = " ".join(read(write_report(bare.run, bare.data, None)).words.split())
    assert "On 64 crops of training images, model and masks agree with an mIoU of 23.6 %" in text
    assert "Training collapsed 2 times" in text
    assert text.index(useless) < text.index("Training collapsed")
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
    assert page.words.count("class 299") >= 3


def test_no_run_is_too_large_for_one_page(tmp_path: Path) -> None:
    count, classes = 6000, tuple(f"class {number} <&'> {'n' * 150}" for number in range(700))
    rng = np.random.default_rng(0)
    tags = rng.random((count, 700)) < 0.02
    ids = tuple(f"{'folder/' * 8}{number:06d}" for number in range(count))
    (tmp_path / "images").mkdir()
    noise = Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    noise.save(tmp_path / "images" / "one.png")
    data = TaggedImages(tmp_path / "images", ("one.png",) * count, ids, classes, tags, np.zeros(count, dtype=bool))
    run = RunFolder(tmp_path / "run")
    run.write_recipe(Recipe())
    write_json(run.path("check.json"), {"warnings": [f"{number} " + "<" * 3000 for number in range(5000)]})
    label = rng.integers(0, 9, (300, 400)).astype(np.uint16)
    for name in ids[:60]:
        write_label_map(run.mask_path(name), label)
    lines = [f"{name},{number / count}" for number, name in enumerate(ids)]
    run.path("masks", "confidence.csv").write_text("\n".join(["id,confidence", *lines]))
    part = {"miou": 11.1, "iou": {"background": 90.0} | dict.fromkeys(classes, 10.0), "images": 2}
    signs = [Sign("look", name, "<" * 3000, f"ktse {number} " + "<" * 3000) for number, name in enumerate(classes)]
    by_class = {name: {"images": 1, "precision": 1.0, "recall": 1.0, "ap": 1.0} for name in classes}
    write_json(
        run.path("evaluation.json"),
        {
            **dict.fromkeys(("seed", "mask", "fused", "prediction"), part),
            "tags": {"train": {"images": 2, "by_class": by_class}, "validation": {"images": 2, "by_class": by_class}},
            "verdict": Verdict.of(signs, classes).to_json(),
        },
    )
    page = read(write_report(run, data, Truth({})))
    assert run.path("report.html").stat().st_size < LIMIT
    assert len(page.images) > 60
    assert re.search(r"Here are [\d,]+ of 6,000; all are in masks/confidence.csv", page.words)
    card = write_model_card(run, data, Truth({}))
    assert card.stat().st_size < LIMIT


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
    code = "import sys, ktse.reporting.page, ktse.reporting.model_card, ktse.visual; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
