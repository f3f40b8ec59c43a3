"""Names that a format cannot hold: all of them are said before anything is written."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from drawn_runs import CLASSES, drawn_run

from ktse.errors import ExportError
from ktse.exporting.masks import export_masks
from ktse.exporting.unfit_names import unfit, yolo_label

ODD = ("bell\x07.jpg", "two\nlines.jpg", "plain.jpg", "#remark.jpg", " blank.jpg")


@pytest.mark.parametrize(
    ("form", "refused"),
    [("cvat", (0, 1)), ("voc", (0, 1, 3, 4)), ("coco", ()), ("yolo", ()), ("labelstudio", ())],
)
def test_images_are_refused_by_name_all_at_once(tmp_path: Path, form: str, refused: tuple[int, ...]) -> None:
    run, data, _ = drawn_run(tmp_path, ODD)
    if not refused:
        export_masks(run, data, form, tmp_path / "out")
        return
    with pytest.raises(ExportError) as caught:
        export_masks(run, data, form, tmp_path / "out")
    assert len(caught.value.where) == len(refused)
    for place, number in zip(caught.value.where, refused, strict=True):
        assert repr(ODD[number].removesuffix(".jpg"))[1:-1] in place
    assert "coco" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("form", "refused"),
    [
        ("voc", {"a:b", "#c", "tab\there", " d", "background", "undecided"}),
        ("cvat", {"tab\there", " d"}),
        ("labelstudio", {"tab\there", " d"}),
        ("yolo", set()),
        ("coco", set()),
    ],
)
def test_classes_are_refused_by_name(form: str, refused: set[str]) -> None:
    classes = ("a:b", "#c", "tab\there", " d", "background", "undecided", "fine", "so & so", "鳥")
    found = unfit(form, ["a.jpg"], ["a"], classes)
    assert len(found) == len(refused)
    assert all(any(repr(name) in line for line in found) for name in refused)


@pytest.mark.parametrize("form", ["coco", "voc", "cvat", "labelstudio"])
def test_a_name_that_is_no_text_is_refused(form: str) -> None:
    """As os.listdir gives a file name of bytes that are no UTF-8."""
    assert len(unfit(form, ["\udcff.jpg"], ["\udcff"], CLASSES)) == 1


def test_yolo_refuses_photos_whose_labels_would_be_one_file(tmp_path: Path) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg", "a.png", "b.jpg", "sub/a.jpg", "images/c.jpg", "c.png"))
    with pytest.raises(ExportError) as caught:
        export_masks(run, data, "yolo", tmp_path / "out")
    assert len(caught.value.where) == 1
    assert "'a.jpg' and 'a.png'" in caught.value.where[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("a.jpg", "labels/a.txt"),
        ("a.b.jpg", "labels/a.b.txt"),
        ("sub/a.png", "labels/sub/a.txt"),
        ("train/images/a.jpg", "images/train/labels/a.txt"),
        ("images/images/a.jpg", "images/images/labels/a.txt"),
        ("images/x/a.jpg", "images/labels/x/a.txt"),
        ("myimages/a.jpg", "labels/myimages/a.txt"),
    ],
)
def test_yolo_labels_lie_where_readers_look(file: str, label: str) -> None:
    assert yolo_label(file) == label


def test_yolo_does_not_write_through_a_link_into_the_photos(tmp_path: Path) -> None:
    run, data, _ = drawn_run(tmp_path, ("train/images/a.jpg",))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path / "photos", target_is_directory=True)
    with pytest.raises(ExportError, match="is a link"):
        export_masks(run, data, "yolo", tmp_path / "out")
    assert not list((tmp_path / "photos").rglob("*.txt"))


def test_data_yaml_names_no_place_outside_its_folder(tmp_path: Path) -> None:
    run, data, _ = drawn_run(tmp_path, ("a.jpg",))
    content = yaml.safe_load(export_masks(run, data, "yolo", tmp_path / "out").read_text())
    assert content == {"train": "images", "val": "images", "names": dict(enumerate(CLASSES))}


@pytest.mark.parametrize("prefix", [None, "s3://bucket/", "/data/local-files/?d=my/photos/"])
def test_label_studio_asks_for_the_file_that_is_there(tmp_path: Path, prefix: str | None) -> None:
    files = ("plus+1 &b#c%20.jpg", "süß/ü?x=1.jpg", "plain.jpg")
    run, data, _ = drawn_run(tmp_path, files)
    given = {} if prefix is None else {"prefix": prefix}
    tasks = json.loads(export_masks(run, data, "labelstudio", tmp_path / "out", **given).read_text())
    for task, file in zip(tasks, files, strict=True):
        url = urlsplit(task["data"]["image"])
        if prefix == "s3://bucket/":
            from urllib.parse import unquote

            assert (url.netloc, unquote(url.path), url.query) == ("bucket", f"/{file}", "")
        else:
            asked = parse_qs(url.query)["d"][0].removeprefix("my/photos/")
            assert url.path == "/data/local-files/"
            assert (tmp_path / "photos" / asked).is_file()


def test_names_of_xml_are_read_back(tmp_path: Path) -> None:
    files, classes = ('a & <b> "c".jpg', "plain.jpg"), ("cat & dog", "<x>", 'a "b"')
    run, data, _ = drawn_run(tmp_path, files, classes)
    root = ET.fromstring(export_masks(run, data, "cvat", tmp_path / "out").read_bytes())
    assert [image.get("name") for image in root.iter("image")] == list(files)
    assert [label.findtext("name") for label in root.iterfind("meta/task/labels/label")] == list(classes)
