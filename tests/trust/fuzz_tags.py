"""Parsers of tags, lists and photos."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import fuzz_changes as change
from fuzz_base import Parser, saved

from drawn import SEVERAL, coco, tagged
from fakes import draw
from ktse.data.image import image_size, read_image
from ktse.data.open import open_data
from ktse.errors import KtseError
from ktse.recipe import DataRecipe


class Tags(Parser):
    """Tables of tags."""

    def prepare(self) -> None:
        self.data = self.folder / "data"
        if not self.data.is_dir():
            tagged(self.data, SEVERAL)
        (self.data / "classes.txt").unlink(missing_ok=True)
        self.changes = (
            [change.of_bytes, change.of_json] if "json" in self.file and "l" not in self.file else self.changes
        )

    def parse(self) -> None:
        open_data(DataRecipe(images=str(self.data / "photos"), tags=str(self.path)))


class Csv(Tags):
    """CSV."""

    file = "tags.csv"
    valid = [
        b"image,tags\n0.jpg,dog\n1.jpg,cat\n2.jpg,dog;person\n3.jpg,\n4.jpg,cat;dog\n",
        b"id;cat;dog\n0;0;1\n1;1;0\n2;0;1\n3;0;0\n4;1;1\n",
        b'image,label,xmin\n0.jpg,"dog",1\n1.jpg,cat,2\n2.jpg,"[""dog"", ""cat""]",3\n3.jpg,,\n4.jpg,,\n',
        b'image,choice\n0.jpg,"{""choices"": [""dog""]}"\n1.jpg,cat\n2.jpg,dog\n3.jpg,\n4.jpg,cat\n',
    ]


class Tsv(Tags):
    """TSV."""

    file = "tags.tsv"
    valid = [b"file\ttags\n0.jpg\tdog\n1.jpg\tcat\n2.jpg\tdog|person\n3.jpg\t\n4.jpg\tcat\n"]


class Lists(Tags):
    """Plain lists."""

    file = "tags.txt"
    valid = [b"0.jpg dog\n1.jpg cat\n2.jpg dog person\n3.jpg\n4.jpg cat dog\n"]


class Json(Tags):
    """JSON."""

    file = "tags.json"
    valid = [
        json.dumps({f"{number}.jpg": list(tags) for number, tags in enumerate(SEVERAL)}).encode(),
        json.dumps([{"image": f"{number}.jpg", "tags": list(tags)} for number, tags in enumerate(SEVERAL)]).encode(),
    ]


class JsonLines(Tags):
    """JSON lines."""

    file = "tags.jsonl"
    valid = [
        b"".join(json.dumps({"image": f"{n}.jpg", "tags": [*tags]}).encode() + b"\n" for n, tags in enumerate(SEVERAL))
    ]


class CocoTags(Tags):
    """COCO, for tags."""

    file = "coco.json"
    valid = [json.dumps(coco(SEVERAL)).encode()]


class SplitList(Tags):
    """The list of validation images, and the list of classes."""

    file = "names.txt"
    valid = [b"0.jpg\n1.jpg\n", b"cat\ndog\nperson\n"]

    def parse(self) -> None:
        given = {"images": str(self.data / "photos"), "tags": str(self.data / "tags.csv")}
        problems = []
        for name in ("validation_list", "classes"):
            try:
                open_data(DataRecipe(**given, **{name: str(self.path)}))
            except KtseError as error:
                problems.append(error)
        if len(problems) == 2:
            raise problems[0]


class Photos(Parser):
    """Photos of many kinds."""

    file = "photo"
    changes = [change.of_bytes, change.of_bytes]

    def prepare(self) -> None:
        photo = draw(("dog",), 0)[0]
        kinds = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "TGA", "ICO")
        self.valid = [saved(photo, kind) for kind in kinds]

    def parse(self) -> None:
        image_size(self.path)
        read_image(self.path)
        read_image(self.path, long_side=20)


class PngPhotos(Photos):
    """PNG photos whose chunks are changed."""

    changes = [change.of_png]

    def prepare(self) -> None:
        photo = draw(("dog",), 0)[0]
        self.valid = [saved(photo.convert(mode), "PNG") for mode in ("RGB", "L", "P", "RGBA", "1", "LA")]
