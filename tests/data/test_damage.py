"""Whatever is done to a file of tags, it ends in a message that names the file, or in data with nothing dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import coco_json, draw, touch, voc_xml
from ktse.data.open import open_data
from ktse.errors import KtseError
from ktse.recipe import DataRecipe

FILES = ("a.jpg", "b.png", "x/ü c.JPG", "d.webp")
TABLES = {
    "t.csv": 'image,tags\na.jpg,dog;cat\nb.png,\nx/ü c.JPG,"big dog";cat\nd.webp,dog\n'.replace('"big dog"', "big dog"),
    "bits.csv": "id,dog,cat\na,1,0\nb,0,0\nx/ü c,1,1\nd,0,1\n",
    "quoted.csv": 'image;tags\n"a.jpg";"dog, cat"\n"b.png";""\n"x/ü c.JPG";"a ""b"""\n"d.webp";"dog"\n',
    "t.tsv": "file\ttags\na.jpg\tdog|cat\nb.png\t\nx/ü c.JPG\tdog\nd.webp\tcat\n",
    "map.json": json.dumps({"a.jpg": ["dog", "cat"], "b.png": [], "x/ü c.JPG": ["dog"], "d.webp": "cat"}),
    "rows.json": json.dumps([{"image": name, "tags": ["dog"]} for name in FILES], indent=0),
    "rows.jsonl": "".join(json.dumps({"file_name": name, "labels": ["dog"]}) + "\n" for name in FILES),
    "list.txt": "a.jpg dog cat\nb.png\nx/ü c.JPG dog\nd.webp cat\n",
}
Edits = list[tuple[float, int, bytes]]
PIECES = [
    *(mark.encode() for mark in ',;\t|"\'\n\r{}[]<>/:\\ 0'), b"\0", b"\xff", b"\xef\xbb\xbf", b"null", b"-1", b"1e999",
    b"NaN",
    b"<!DOCTYPE a>", b"&x;", b"</object>", b"<name></name>", b"a.jpg", b"b.png", b"../", b"true", "\u2028".encode(),
    "é".encode(), b"\\ud800", b"99999999999999999999",
]  # fmt: skip
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(st.sampled_from(PIECES), st.binary(max_size=3))),
    max_size=4,
)


def damage(content: bytes, changes: Edits) -> bytes:
    """Cut some bytes out at some places, and put others in."""
    for place, cut, piece in changes:
        start = int(place * len(content))
        content = content[:start] + piece + content[start + cut :]
    return content


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return touch(tmp_path_factory.mktemp("damage") / "images", *FILES)


@pytest.mark.parametrize("name", TABLES)
@given(changes=edits)
def test_a_damaged_table(images: Path, name: str, changes: Edits) -> None:
    path = images.parent / name
    path.write_bytes(damage(TABLES[name].encode(), changes))
    try:
        data = open_data(DataRecipe(images=str(images), tags=str(path)))
    except KtseError as error:
        assert name in str(error)
        return
    assert sorted(data.files) == sorted(FILES)
    assert data.tags.any()


@given(changes=edits)
def test_a_damaged_coco_file(images: Path, changes: Edits) -> None:
    content, files = coco_json("train2014", 9, range(3))
    path, folder = images.parent / "instances.json", images.parent / "coco"
    if not folder.is_dir():
        touch(folder, *(file for file, _ in files))
    path.write_bytes(damage(json.dumps(content).encode(), changes))
    try:
        data = open_data(DataRecipe(images=str(folder), tags=str(path), form="coco"))
    except KtseError as error:
        assert "instances.json" in str(error)
        return
    assert len(data) == len(json.loads(path.read_text(encoding="utf-8-sig"))["images"])


@given(changes=edits)
def test_a_damaged_annotation(images: Path, changes: Edits) -> None:
    tree = images.parent / "voc"
    if not tree.is_dir():
        touch(tree / "JPEGImages", "1.jpg")
        (tree / "Annotations").mkdir()
    (tree / "Annotations" / "1.xml").write_bytes(
        damage(voc_xml("1", draw(("dog", "person"), 0)[1], 1).encode(), changes)
    )
    try:
        data = open_data(DataRecipe(images=str(tree)))
    except KtseError as error:
        # Without any object left there is nothing to learn, and that is said of the tree.
        assert "1.xml" in str(error) or "has a tag" in str(error) or "class names" in str(error)
        return
    assert data.ids == ("1",)


@given(changes=edits)
def test_a_damaged_list_of_images(images: Path, changes: Edits) -> None:
    table, path = images.parent / "whole.csv", images.parent / "val.txt"
    table.write_text("image,tags\n" + "".join(f"{name},dog\n" for name in FILES), encoding="utf-8")
    path.write_bytes(damage("a.jpg\nx/ü c\n".encode(), changes))
    try:
        data = open_data(DataRecipe(images=str(images), tags=str(table), validation_list=str(path)))
    except KtseError as error:
        assert "val.txt" in str(error)
        return
    assert len(data) == len(FILES)
