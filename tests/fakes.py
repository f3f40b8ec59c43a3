"""Tiny data sets in every form, exactly as the real ones lie on disk: names, folders, XML, JSON, palettes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from ktse.data.classes import COCO_CLASSES
from ktse.files import digest
from ktse.job import Job
from ktse.pipeline import CHECK, STAGES
from ktse.staleness import Stage

COLOURS = {"dog": (200, 60, 40), "cat": (40, 90, 200), "person": (230, 190, 60)}
TAGS: tuple[tuple[str, ...], ...] = (
    ("dog",), ("cat",), ("dog", "cat"), ("person",), ("cat",), ("dog", "person"), ("person",), ("dog",),
    ("cat", "person"), (),
)  # fmt: skip
"""Tags of the ten images of most fakes; the last one has none."""

Box = tuple[int, int, int, int]


def draw(tags: tuple[str, ...], seed: int, size: tuple[int, int] = (72, 60)) -> tuple[Image.Image, dict[str, Box]]:
    """A photo with one box per tag, and the boxes: left, top, right, bottom, the last two outside."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(90, 130, (size[1], size[0], 3), dtype=np.uint8))
    boxes = {}
    for place, tag in enumerate(tags):
        left, top = 4 + 34 * place, int(rng.integers(4, 20))
        boxes[tag] = (left, top, left + 24, top + 30)
        ImageDraw.Draw(image).rectangle((left, top, left + 23, top + 29), fill=COLOURS[tag])
    return image, boxes


def touch(folder: Path, *names: str) -> Path:
    """Empty images under these names; returns the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(folder / name, "PNG")
    return folder


def photos(folder: Path, names: list[str] | None = None) -> list[str]:
    """The ten photos, under these names."""
    names = names or [f"{number:03d}.jpg" for number in range(len(TAGS))]
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw(TAGS[number], number)[0].save(folder / name)
    return names


def table(root: Path, ending: str) -> list[str]:
    """A folder of photos and a table of tags; the arguments of the command line."""
    rows = list(zip(photos(root / "images"), TAGS, strict=True))
    path = root / f"tags{ending}"
    match ending:
        case ".csv":
            lines = ["image,tags", *(f"{name},{';'.join(tags)}" for name, tags in rows)]
        case ".tsv":
            lines = ["Filename\tLabels\twidth", *(f"{name}\t{'|'.join(tags)}\t72" for name, tags in rows)]
        case ".json":
            lines = [json.dumps({name: list(tags) for name, tags in rows})]
        case ".jsonl":
            lines = [json.dumps({"file_name": name, "labels": list(tags)}) for name, tags in rows]
        case ".txt":
            lines = [" ".join((name, *tags)) for name, tags in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [str(root / "images"), "--tags", str(path)]


def kaggle(root: Path) -> list[str]:
    """A table with a 0/1 column per class, and image names without their ending."""
    names = photos(root / "train_images")
    with (root / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "cat", "dog", "person"))
        for name, tags in zip(names, TAGS, strict=True):
            writer.writerow((name.removesuffix(".jpg"), *(int(tag in tags) for tag in ("cat", "dog", "person"))))
    return [str(root / "train_images"), "--tags", str(root / "train.csv")]


def subfolders(root: Path) -> list[str]:
    """One folder per class; only images with exactly one tag can lie so."""
    for number, tags in enumerate(TAGS):
        if len(tags) == 1:
            (root / "photos" / tags[0]).mkdir(parents=True, exist_ok=True)
            draw(tags, number)[0].save(root / "photos" / tags[0] / f"{number % 2}{number}.JPG", "JPEG")
    return [str(root / "photos")]


def voc_palette() -> list[int]:
    """The palette of VOC's masks, from the bits of the index as its development kit makes it."""
    palette = []
    for index in range(256):
        colour, rest = [0, 0, 0], index
        for bit in range(7, -1, -1):
            for channel in range(3):
                colour[channel] |= (rest >> channel & 1) << bit
            rest >>= 3
        palette += colour
    return palette


def voc_mask(boxes: dict[str, Box], size: tuple[int, int]) -> Image.Image:
    """A mask of VOC: 8-bit palette, 255 around each object."""
    label = np.zeros(size[::-1], dtype=np.uint8)
    for tag, (left, top, right, bottom) in boxes.items():
        label[top - 1 : bottom + 1, left - 1 : right + 1] = 255
        label[top:bottom, left:right] = {"cat": 8, "dog": 12, "person": 15}[tag]
    image = Image.fromarray(label)
    image.putpalette(voc_palette())
    return image


def voc_xml(name: str, boxes: dict[str, Box], segmented: int) -> str:
    """An annotation as VOC 2012 writes it: tabs, order of the elements, a person's parts with boxes of their own."""
    lines = [
        "<annotation>", "\t<folder>VOC2012</folder>", f"\t<filename>{name}.jpg</filename>",
        "\t<source>", "\t\t<database>The VOC2007 Database</database>", "\t\t<annotation>PASCAL VOC2007</annotation>",
        "\t\t<image>flickr</image>", "\t</source>", "\t<size>", "\t\t<width>72</width>", "\t\t<height>60</height>",
        "\t\t<depth>3</depth>", "\t</size>", f"\t<segmented>{segmented}</segmented>",
    ]  # fmt: skip
    for tag, (left, top, right, bottom) in boxes.items():
        box = f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        part = f"<part><name>head</name><bndbox>{box}</bndbox></part>" if tag == "person" else ""
        lines.append(
            f"\t<object>\n\t\t<name>{tag}</name>\n\t\t<pose>Left</pose>\n\t\t<truncated>1</truncated>\n"
            f"\t\t<difficult>{int(tag == 'cat')}</difficult>\n\t\t<bndbox>{box}</bndbox>{part}\n\t</object>"
        )
    return "\n".join([*lines, "</annotation>", ""])


def voc(root: Path) -> list[str]:
    """VOC 2012 with the masks of SBD: 4 images for training in VOC, 3 more in train_aug, 3 for validation."""
    tree = root / "VOCdevkit" / "VOC2012"
    for folder in (
        "JPEGImages", "Annotations", "SegmentationClass", "SegmentationObject", "SegmentationClassAug",
        "ImageSets/Segmentation", "ImageSets/Main", "ImageSets/Layout", "ImageSets/Action",
    ):  # fmt: skip
        (tree / folder).mkdir(parents=True)
    names = [f"2007_{number:06d}" for number in range(27, 27 + len(TAGS))]
    train, extra, val, unused = names[:4], names[4:6], names[6:9], names[9]
    for number, name in enumerate(names):
        image, boxes = draw(TAGS[number], number)
        image.save(tree / "JPEGImages" / f"{name}.jpg")
        (tree / "Annotations" / f"{name}.xml").write_text(
            voc_xml(name, boxes, int(name not in extra)), encoding="utf-8"
        )
        mask = voc_mask(boxes, image.size)
        mask.save(tree / "SegmentationClassAug" / f"{name}.png")
        if name not in extra and name != unused:
            mask.save(tree / "SegmentationClass" / f"{name}.png")
            mask.save(tree / "SegmentationObject" / f"{name}.png")
    lists = {"train": train, "val": val, "trainval": sorted(train + val), "train_aug": train + extra}
    for key, chosen in lists.items():
        (tree / "ImageSets" / "Segmentation" / f"{key}.txt").write_text("".join(f"{name}\n" for name in chosen))
    for tag in COLOURS:
        lines = [f"{name} {1 if tag in TAGS[names.index(name)] else -1:2d}\n" for name in train]
        (tree / "ImageSets" / "Main" / f"{tag}_train.txt").write_text("".join(lines))
    return [str(root / "VOCdevkit")]


def coco_json(name: str, first: int, chosen: range) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """The content of instances_NAME.json as COCO 2014 writes it, and the file names."""
    numbers = {tag: number for number, tag in COCO_CLASSES.items()}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    files = []
    for number in chosen:
        image_id = first + 7 * number
        file = f"COCO_{name}_{image_id:012d}.jpg"
        files.append((file, number))
        images.append({
            "license": 5, "file_name": file, "coco_url": f"http://images.example.org/{name}/{file}", "height": 60,
            "width": 72, "date_captured": "2013-11-14 16:28:13", "flickr_url": "http://farm.example.org/1_z.jpg",
            "id": image_id,
        })  # fmt: skip
        for tag, (left, top, right, bottom) in draw(TAGS[number], number)[1].items():
            ring = [left, top, right, top, right, bottom, left, bottom]
            annotations.append({
                "segmentation": [[float(value) for value in ring]], "area": float(24 * 30), "iscrowd": 0,
                "image_id": image_id, "bbox": [float(left), float(top), 24.0, 30.0], "category_id": numbers[tag],
                "id": 100000 + len(annotations),
            })  # fmt: skip
        if number == chosen[0]:
            runs = [60 * 66, 60 * 6]  # columns 66 to 71, all rows; runs go down the columns
            annotations.append({
                "segmentation": {"counts": runs, "size": [60, 72]}, "area": 360, "iscrowd": 1, "image_id": image_id,
                "bbox": [66, 0, 6, 60], "category_id": 1, "id": 900100000000 + image_id,
            })  # fmt: skip
    categories = [{"supercategory": "thing", "id": number, "name": tag} for number, tag in COCO_CLASSES.items()]
    info = {"description": "COCO 2014 Dataset", "url": "http://example.org", "version": "1.0", "year": 2014}
    licences = [{"url": "http://example.org/by/2.0/", "id": 5, "name": "Attribution"}]
    content = {
        "info": info, "images": images, "licenses": licences, "annotations": annotations, "categories": categories,
    }  # fmt: skip
    return content, files


def coco(root: Path) -> list[str]:
    """COCO 2014: seven images for training, three for validation, one of them without objects."""
    tree = root / "coco"
    (tree / "annotations").mkdir(parents=True)
    for name, first, chosen in (("train2014", 9, range(7)), ("val2014", 42, range(7, 10))):
        content, files = coco_json(name, first, chosen)
        (tree / "annotations" / f"instances_{name}.json").write_text(json.dumps(content), encoding="utf-8")
        (tree / name).mkdir()
        for file, number in files:
            draw(TAGS[number], number)[0].save(tree / name / file)
    return [str(tree)]


def saved(root: Path) -> list[str]:
    """A Hugging Face dataset on disk: seven images in train, three in validation, one of them without tags."""
    import datasets  # an extra

    names = sorted(COLOURS)
    several = datasets.Sequence(datasets.ClassLabel(names=names))
    features = datasets.Features({"image": datasets.Image(), "labels": several, "width": datasets.Value("int64")})
    rows = [
        {"image": draw(tags, number)[0], "labels": [names.index(tag) for tag in tags], "width": 72}
        for number, tags in enumerate(TAGS)
    ]
    parts = {"train": rows[:7], "validation": rows[7:]}
    saved = {name: datasets.Dataset.from_list(part, features=features) for name, part in parts.items()}
    datasets.DatasetDict(saved).save_to_disk(str(root / "saved"))
    return [str(root / "saved")]


TABLES = (".csv", ".tsv", ".json", ".jsonl", ".txt")
FORMS: dict[str, Callable[[Path], list[str]]] = {
    **{ending[1:]: partial(table, ending=ending) for ending in TABLES},
    "kaggle": kaggle, "subfolders": subfolders, "voc": voc, "coco": coco, "datasets": saved,
}  # fmt: skip
"""Each form with what writes it and returns the command line's arguments for it."""


def written_by_ktse(run: Path, name: str, text: str) -> None:
    """Write a file of a finished run as if its stage had written it."""
    (run / name).write_text(text, encoding="utf-8")
    for path in (run / "index").glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if name in content.get("files", {}):
            content["files"][name] = [(run / name).stat().st_size, digest(run / name)]
        if name == "recipe.yaml" and "settings" in content:
            content["settings"] = yaml.safe_load(text)
        path.write_text(json.dumps(content), encoding="utf-8")


def alter(monkeypatch: pytest.MonkeyPatch, stage: Stage, **fields: Any) -> None:
    """Change what a stage is, such as what it does (do=...) or its layout, until the test has ended."""
    for name, value in fields.items():
        monkeypatch.setitem(stage.__dict__, name, value)


def empty_stages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let each stage but check write the files that it would, empty; returns the names of those done since."""
    done: list[str] = []

    def empty(stage: Stage) -> Callable[[Job], None]:
        def write(job: Job) -> None:
            done.append(stage.name)
            each = [kind.format(image_id) for kind in stage.each for image_id in job.data.ids]
            for name in [*each, *([stage.last] if stage.last else [])]:
                job.run.path(name).parent.mkdir(parents=True, exist_ok=True)
                job.run.path(name).write_text("{}" if name.endswith(".json") else "")

        return write

    for stage in STAGES.values():
        if stage is not CHECK:
            alter(monkeypatch, stage, do=empty(stage))
    return done
