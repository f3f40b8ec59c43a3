"""Exports as the tools for which they are written read them, with these tools' own code.

pip install ultralytics-opencv-headless datumaro pycocotools torchvision
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn_runs import CLASSES, SIZE, blob, drawn_run, judge, undone, write_confidence
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.exporting.masks import export_masks
from ktse.quality.verdict import Sign
from ktse.run_folder import RunFolder

FILES = ("a.jpg", "deep/b c.jpg", "train/images/1.v2.jpg", "train/images/more/2.jpg", "images/images/3.png")

Drawn = tuple[RunFolder, TaggedImages, list[np.ndarray]]


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    run, data, labels = drawn_run(tmp_path, FILES)
    write_confidence(run, dict(zip(data.ids, (0.9, 0.8, 0.7, 0.6, 0.5), strict=True)))
    judge(run, Sign("look", "dog", "Few.", "Look."))  # beside everything else there is a VERDICT.txt
    return run, data, labels


def placed(drawn: Drawn, form: str, out: Path, images: str = "images", simplify: float = 0.0) -> Path:
    """Export, and put the photos where the format's readers look for them."""
    main = export_masks(*drawn[:2], form, out, simplify=simplify)
    shutil.copytree(drawn[1].root, out / images, dirs_exist_ok=True)
    return main


def filled(points: np.ndarray) -> np.ndarray:
    """A polygon in pixels, filled by Pillow at four times the size, read at the pixels' centres."""
    from PIL import ImageDraw

    canvas = Image.new("L", (4 * SIZE[1], 4 * SIZE[0]))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in np.rint(points * 4)], fill=1)
    return np.asarray(canvas)[2::4, 2::4] > 0


@pytest.fixture
def ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    return pytest.importorskip("ultralytics", reason="reads YOLO: pip install ultralytics-opencv-headless")


@pytest.mark.parametrize("place", ["yolo", "images/yolo"])
def test_ultralytics_finds_photos_and_labels_from_anywhere(
    drawn: Drawn, ultralytics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    from ultralytics.data.utils import check_det_dataset, img2label_paths

    main = placed(drawn, "yolo", tmp_path / place)
    elsewhere = tmp_path / "elsewhere" / "images"
    elsewhere.mkdir(parents=True)  # a folder of the same name where one stands
    monkeypatch.chdir(elsewhere.parent)
    found = check_det_dataset(str(main), autodownload=False)
    assert Path(found["train"]).resolve() == (tmp_path / place / "images").resolve()
    assert found["names"] == dict(enumerate(CLASSES))
    images = [f"{found['train']}{os.sep}{file}" for file in FILES]
    for image, label in zip(images, img2label_paths(images), strict=True):
        assert Path(image).is_file()
        assert Path(label).is_file(), label


def test_ultralytics_reads_the_same_masks(drawn: Drawn, ultralytics, tmp_path: Path) -> None:
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    found = check_det_dataset(str(placed(drawn, "yolo", tmp_path / "yolo")), autodownload=False)
    read = YOLODataset(img_path=found["train"], data=found, task="segment", augment=False, imgsz=64)
    assert len(read.labels) == len(FILES)
    for entry in read.labels:
        file = Path(entry["im_file"]).relative_to(Path(found["train"])).as_posix()
        mask = np.zeros(SIZE, np.uint8)
        for number, polygon in zip(entry["cls"].ravel(), entry["segments"], strict=True):
            mask[filled(polygon * SIZE[::-1])] = int(number) + 1
        expected = undone(drawn[2][FILES.index(file)])
        assert (mask == expected).mean() > 0.98, file  # the library keeps points in float32


@pytest.fixture
def datumaro():
    return pytest.importorskip("datumaro", reason="reads COCO, CVAT and VOC: pip install datumaro")


def test_datumaro_reads_cvat(drawn: Drawn, datumaro, tmp_path: Path) -> None:
    placed(drawn, "cvat", tmp_path / "cvat")
    read = {item.id: item for item in datumaro.Dataset.import_from(str(tmp_path / "cvat"), "cvat")}
    for file, label, confidence in zip(FILES, drawn[2], (0.9, 0.8, 0.7, 0.6, 0.5), strict=True):
        mask = np.zeros(SIZE, np.uint8)
        for annotation in read[file.rpartition(".")[0]].annotations:
            mask[np.asarray(annotation.image) > 0] = annotation.label + 1
            assert float(annotation.attributes["confidence"]) == confidence
            assert annotation.attributes["verdict"] == ("look" if annotation.label == 1 else "good")
        np.testing.assert_array_equal(mask, undone(label))


@pytest.mark.parametrize("simplify", [0.0, 1.5])
def test_datumaro_reads_coco(drawn: Drawn, datumaro, tmp_path: Path, simplify: float) -> None:
    placed(drawn, "coco", tmp_path / "coco", simplify=simplify)
    read = {item.id: item for item in datumaro.Dataset.import_from(str(tmp_path / "coco"), "coco")}
    assert len(read) == len(FILES)
    for name, label, confidence in zip(FILES, drawn[2], (0.9, 0.8, 0.7, 0.6, 0.5), strict=True):
        mask = np.zeros(SIZE, np.uint8)
        for annotation in read[name.rpartition(".")[0]].annotations:
            assert annotation.attributes == {"score": confidence, "is_crowd": False}
            if annotation.type is datumaro.AnnotationType.mask:
                mask[np.asarray(annotation.image) > 0] = annotation.label + 1
            elif annotation.type is datumaro.AnnotationType.polygon:
                mask[filled(np.array(annotation.points).reshape(-1, 2))] = annotation.label + 1
        assert (mask == undone(label)).mean() >= (0.9 if simplify else 1.0)


def test_datumaro_reads_simplified_polygons_of_cvat(drawn: Drawn, datumaro, tmp_path: Path) -> None:
    placed(drawn, "cvat", tmp_path / "cvat", simplify=1.5)
    shared = total = 0
    for item in datumaro.Dataset.import_from(str(tmp_path / "cvat"), "cvat"):
        label = undone(drawn[2][[file.rpartition(".")[0] for file in FILES].index(item.id)])
        for number in range(1, len(CLASSES) + 1):
            mask = np.zeros(SIZE, bool)
            for annotation in item.annotations:
                if annotation.label + 1 == number:
                    mask |= filled(np.array(annotation.points).reshape(-1, 2))
            shared, total = shared + (mask & (label == number)).sum(), total + (mask | (label == number)).sum()
    assert 0.85 < shared / total < 1


def test_datumaro_reads_voc_with_255_as_its_own_label(drawn: Drawn, datumaro, tmp_path: Path) -> None:
    placed(drawn, "voc", tmp_path / "voc", "JPEGImages")
    read = datumaro.Dataset.import_from(str(tmp_path / "voc"), "voc_segmentation")
    names = [category.name for category in read.categories()[datumaro.AnnotationType.label]]
    assert names == ["background", *CLASSES, "undecided"]
    items = {item.id: item for item in read}
    assert set(items) == set(drawn[1].ids)
    for name, label in zip(drawn[1].ids, drawn[2], strict=True):
        mask = np.zeros(SIZE, np.uint8)
        for annotation in items[name].annotations:
            mask[np.asarray(annotation.image) > 0] = 255 if annotation.label == 4 else annotation.label
        np.testing.assert_array_equal(mask, label)


def test_torchvision_reads_voc(drawn: Drawn, tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets", reason="reads VOC: pip install torchvision")
    run, data, labels = drawn_run(tmp_path / "jpg", ("a.jpg", "b c.jpg"))
    out = tmp_path / "VOCdevkit" / "VOC2012"
    placed((run, data, labels), "voc", out, "JPEGImages")
    read = datasets.VOCSegmentation(str(tmp_path), year="2012", image_set="train")
    assert len(read) == 2
    for (photo, mask), label in zip(read, labels, strict=True):
        assert photo.size == mask.size == SIZE[::-1]
        np.testing.assert_array_equal(np.asarray(mask), label)


@pytest.mark.parametrize("simplify", [0.0, 1.5])
def test_pycocotools_reads_coco(drawn: Drawn, tmp_path: Path, simplify: float) -> None:
    library = pytest.importorskip("pycocotools.coco", reason="reads COCO: pip install pycocotools")
    coco = library.COCO(str(placed(drawn, "coco", tmp_path / "coco", simplify=simplify)))
    shared = total = 0
    for number, label in enumerate(drawn[2], start=1):
        for entry in coco.loadAnns(coco.getAnnIds(imgIds=number)):
            mask, expected = coco.annToMask(entry) > 0, label == entry["category_id"]
            shared, total = shared + (mask & expected).sum(), total + (mask | expected).sum()
            assert entry["score"] == (0.9, 0.8, 0.7, 0.6, 0.5)[number - 1]
    assert shared == total if simplify == 0 else 0.85 < shared / total < 1


def test_the_helper_draws_every_class() -> None:
    assert set(np.unique(blob(0))) == {0, 1, 2, 3, 255}
