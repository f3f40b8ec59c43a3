"""What the report of a finished run says and shows."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from read_page import LARGEST_PAGE, Page, read, words

from ktse.files import write_json
from ktse.quality.verdict import Sign, Verdict
from ktse.reporting.page import write_report


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
    assert not re.search(r"https?://|@import|url\(|<iframe|\son\w+=", text)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert len(text) < LARGEST_PAGE
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


def test_a_model_of_no_use_leaves_its_masks_in_use(judged: Any) -> None:
    fake = judged("good")
    useless = Sign("do-not-use", "", "The model is of no use.", "ktse segment RUN", "model")
    content = fake.evaluation() | {"verdict": Verdict.of([useless], fake.data.classes).to_json()}
    write_json(fake.run.path("evaluation.json"), content)
    text = " ".join(words(fake).split())
    assert "Do not use the model; the masks are good" in text and "ktse predict" not in text
    assert "the verdict holds for all of them" not in text
    levels = text[text.index("Class by class") : text.index("Pictures")]
    assert "Do not use" not in levels and "Good" in levels


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
