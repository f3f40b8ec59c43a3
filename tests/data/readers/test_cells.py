"""What spreadsheets and programs write into cells, read back: separators, lists, nothing, 0 and 1, one row per tag."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import read_tags
from fakes import touch
from ktse.cli import main
from ktse.data.open import open_data
from ktse.data.readers.cells import bit, words
from ktse.data.readers.table import find_table
from ktse.errors import DataError
from ktse.recipe import DataRecipe

tag = st.text("abcXYZ 1é\"'/", min_size=1, max_size=6).map(str.strip).filter(bool)
tables = st.lists(st.lists(tag, max_size=3, unique=True), min_size=1, max_size=6).filter(any)


def written(rows: list[list[str]], delimiter: str, ends: str, tail: str) -> str:
    """A table as spreadsheets save it, with empty rows and rows of delimiters only at its end."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ends)
    writer.writerows(rows)
    return text.getvalue() + tail


@given(
    tags=tables, delimiter=st.sampled_from(",;\t"), ends=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), between=st.sampled_from([";", "|", ",", "\n"]),
    empty=st.sampled_from(["kept", "left out", "too many"]), blanks=st.sampled_from(["", " "]),
    tail=st.sampled_from(["", "empty", "delimiters"]),
)  # fmt: skip
def test_a_table_comes_back_as_a_spreadsheet_saves_it(
    tmp_path_factory: pytest.TempPathFactory, tags: list[list[str]], delimiter: str, ends: str, encoding: str,
    between: str, empty: str, blanks: str, tail: str,
) -> None:  # fmt: skip
    rows = [[f"{number}.jpg", between.join(row)] for number, row in enumerate(tags)]
    rows = [["image", f"{blanks}tags{blanks}"], *rows]
    if empty == "left out":
        rows = [row if row[1] else row[:1] for row in rows]
    if empty == "too many":
        rows = [[*row, "", blanks] for row in rows]
    end = {"": "", "empty": ends * 3, "delimiters": f"{delimiter}{delimiter}{ends}" * 2}[tail]
    path = tmp_path_factory.mktemp("sheet") / ("t.tsv" if delimiter == "\t" else "t.csv")
    path.write_bytes(written(rows, delimiter, ends, end).encode(encoding))
    expected = {f"{number}.jpg": tuple(row) for number, row in enumerate(tags)}
    assert read_tags(path, DataRecipe(separator=between)) == expected


@given(tags=tables)
def test_json_says_the_same_as_csv(tmp_path_factory: pytest.TempPathFactory, tags: list[list[str]]) -> None:
    folder = tmp_path_factory.mktemp("json")
    forms = {
        "rows.json": json.dumps([{"id": number, "tags": row or None} for number, row in enumerate(tags)]),
        "floats.json": json.dumps([{"id": float(number), "tags": row} for number, row in enumerate(tags)]),
        "missing.json": json.dumps(
            [{" id ": number} | ({"tags ": row} if row else {}) for number, row in enumerate(tags)]
        ),
        "lines.jsonl": "\n".join(json.dumps({"id": number, "tags": row or None}) for number, row in enumerate(tags)),
        "map.json": json.dumps({str(number): row or None for number, row in enumerate(tags)}),
        "nulls.json": json.dumps([{"id": number, "tags": [None, *row]} for number, row in enumerate(tags)]),
        "studio.json": json.dumps([{"id": number, "choice": {"choices": row}} for number, row in enumerate(tags)]),
    }
    for name, content in forms.items():
        (folder / name).write_text(content, encoding="utf-8")
        found = read_tags(folder / name, DataRecipe())
        assert found == {str(number): tuple(row) for number, row in enumerate(tags)}, name


@pytest.mark.parametrize(
    ("cell", "separator", "expected"),
    [
        ("hot dog\tball", "\t", ("hot dog", "ball")),
        ("hot dog\nball", "\n", ("hot dog", "ball")),
        ("hot dog\u00a0 ball", " ", ("hot", "dog", "ball")),
        ("a; b;c", "; ", ("a", "b;c")),
        ("a - b-c", " - ", ("a", "b-c")),
        ("hot\u00a0dog;hot dog", ";", ("hot dog",)),
        ("cafe\u0301;caf\u00e9", ";", ("caf\u00e9",)),
        ('{"choices": ["hot dog", "ball"]}', ";", ("hot dog", "ball")),
        ('[{"x": 1, "rectanglelabels": ["dog"]}, {"x": 2, "rectanglelabels": ["cat"]}]', ";", ("dog", "cat")),
    ],
)
def test_a_cell_is_split_at_exactly_what_was_given(cell: str, separator: str, expected: tuple[str, ...]) -> None:
    assert words(cell, separator) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1", True), ("1.0", True), ("1,0", True), (1.0, True), (True, True), (" TRUE ", True), ("yes", True),
        ("0", False), ("0,00", False), ("", False), (None, False), ("\u00a0", False), ("No", False),
        ("2", None), ("x", None), ("-1", None), ("0.5", None), ("nan", None),
    ],
)  # fmt: skip
def test_a_cell_of_zero_and_one(cell: object, expected: bool | None) -> None:
    assert bit(cell) is expected


def test_columns_of_zero_and_one_as_a_spreadsheet_saves_them(tmp_path: Path) -> None:
    images = touch(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    content = "\ufeff\r\nfilename; dog; cat \r\na.jpg;1,0;0,0\r\nb.jpg;;1\r\nc.jpg\r\n;;\r\n\r\n"
    (tmp_path / "t.csv").write_text(content, encoding="utf-8", newline="")
    found = find_table(images, tmp_path / "t.csv", DataRecipe())
    assert found.classes == ("dog", "cat")
    assert dict(zip(found.files, found.tags, strict=True)) == {"a.jpg": ("dog",), "b.jpg": ("cat",), "c.jpg": ()}
    assert any(note.startswith("taken for 0: 3 empty cells in the columns of 0 and 1") for note in found.notes)


def test_a_surplus_cell_that_is_not_empty_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,tags,\na.jpg,dog,cat\nb.jpg,dog,\n")
    with pytest.raises(DataError, match=r"row 2: it has another number of cells .*3, not 2.* in quotes"):
        read_tags(tmp_path / "t.csv", DataRecipe())


LONG = "image,label,xmin\n" + "".join(f"{name}.jpg,{tag},1\n" for name, tag in ("ax", "ay", "ax", "bx", "cy"))


@pytest.mark.parametrize(
    ("content", "rows", "expected"),
    [
        (LONG, "auto", {"a.jpg": {"x", "y"}, "b.jpg": {"x"}, "c.jpg": {"y"}}),
        (LONG.replace("xmin", "comment"), "tag", {"a.jpg": {"x", "y"}, "b.jpg": {"x"}, "c.jpg": {"y"}}),
        (LONG.replace("xmin", "comment"), "auto", "an image has one row, unless --data.rows tag joins them"),
        (LONG, "image", "an image has one row"),
        (LONG.replace("b.jpg,x", "b.jpg,x;y"), "auto", "an image has one row"),
        (
            "ImageID,Source,LabelName,Confidence\na,v,x,1\na,v,y,1\nb,v,x,0\nb,v,y,1\nb,v,z,1\nc,v,z,0\n", "auto",
            {"a": {"x", "y"}, "b": {"y", "z"}, "c": set()},
        ),
        ("id,dog,cat\na,1,0\na,0,1\nb,0,1\n", "tag", {"a": {"dog", "cat"}, "b": {"cat"}}),
    ],
)  # fmt: skip
def test_one_row_per_tag(tmp_path: Path, content: str, rows: str, expected: object) -> None:
    (tmp_path / "t.csv").write_text(content)
    columns = DataRecipe(rows=rows)  # type: ignore[arg-type]
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            read_tags(tmp_path / "t.csv", columns)
    else:
        assert {name: set(tags) for name, tags in read_tags(tmp_path / "t.csv", columns).items()} == expected


def test_one_row_per_tag_is_found_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = touch(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    (tmp_path / "t.txt").write_text("a.jpg x\na.jpg y\nb.jpg x\nb.jpg y\n./b.jpg z\nc.jpg x\nc.jpg z\n")
    assert main(["check", str(images), "--tags", str(tmp_path / "t.txt"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == {"x": 3, "y": 2, "z": 2}
    text = "\n".join(found["warnings"])
    assert "has one line per tag (7 lines of 4 images), which are joined" in text
    assert "1 image without a line in" in text
    assert "d.jpg" in text


def test_only_the_names_of_line_breaks_are_needed_for_cells_of_several_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = touch(tmp_path / "images", "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text('image,tags\na.jpg,"hot dog\nball"\nb.jpg,ball\n')
    for more in ([], ["--data.separator", "\n"]):
        assert main(["check", str(images), "--tags", str(tmp_path / "t.csv"), "--json", *more]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["classes"] == {"ball": 2, "hot dog": 1}
        assert any("split at line breaks" in one for one in found["warnings"]) == (not more)
    assert main(["check", str(images), "--tags", str(tmp_path / "t.csv"), "--data.separator", "/"]) == 1
    assert "--data.separator is what separates these" in capsys.readouterr().err


STUDIO = [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": []}]}]
FOREIGN = {
    "studio.json": (json.dumps(STUDIO), "Label Studio's JSON", "CSV or JSON-MIN"),
    "studio.jsonl": (json.dumps(STUDIO[0]), "Label Studio's JSON", "CSV or JSON-MIN"),
    "cvat.xml": (
        '<?xml version="1.0"?>\n<annotations>\n<image id="0" name="a.jpg"/></annotations>',
        "CVAT",
        "COCO 1.0",
    ),
    "voc.xml": ("<annotation><object/></annotation>", "PASCAL VOC", "JPEGImages"),
    "labelme.json": ('{"version": "5.0", "shapes": [], "imagePath": "a.jpg"}', "labelme", "labelme2coco"),
    "via.json": ('{"a.jpg1": {"filename": "a.jpg", "regions": []}}', "VIA", "COCO"),
    "data.yaml": ("names: [dog]\nnc: 1\n", "YOLO", "COCO"),
    "001.txt": ("0 0.5 0.5 0.1 0.2\n1 0.1 0.2 0.3 0.4\n", "YOLO", "COCO"),
    "half.json": ('{"images": [], "categories": []}', "COCO", "annotations"),
    "tags.parquet": ("PAR1xxxx", "Parquet", "read_parquet"),
    "tags.xlsx": ("PK\x03\x04", "spreadsheet", "CSV UTF-8"),
    "tags.csv": ("PK\x03\x04", "Excel", "CSV UTF-8"),
    "photo.jpg": ("\x89PNG\r\n", "PNG image", "columns image and label"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_the_file_of_another_tool_is_named_with_a_way_out(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, format_name, advice = FOREIGN[name]
    images = touch(tmp_path / "images", "a.jpg")
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    assert main(["check", str(images), "--tags", str(tmp_path / name)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "is no table: it seems to be" in said
    assert format_name in said
    assert advice in said


def test_a_folder_in_place_of_a_file_of_tags_is_named_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = touch(tmp_path / "images", "a.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.2\n")
    for folder in (images, tmp_path / "nowhere"):
        assert main(["check", str(folder), "--tags", str(tmp_path / "labels")]) == 1
        assert "labels is a folder" in capsys.readouterr().err
    assert main(["check", str(images), "--tags", str(tmp_path / "labels")]) == 1
    assert "YOLO's labels" in capsys.readouterr().err


def test_messages_about_endless_cells_are_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = touch(tmp_path / "images", "a.jpg")
    long = "x" * 5000
    (tmp_path / "t.csv").write_text(f"image,{long},b\na.jpg,{long},1\n{long}.jpg,0,0\n" + f"{long},y,0\n" * 100)
    assert main(["check", str(images), "--tags", str(tmp_path / "t.csv")]) == 1
    assert len(capsys.readouterr().err) < 8000


def test_names_that_mean_no_tag_are_taken_out_of_every_form(tmp_path: Path) -> None:
    images = touch(tmp_path / "by class", "crack/a.jpg", "Free/b.jpg", "ok/c.jpg")
    files = [f"{folder}/{name}" for folder, name in (("crack", "a.jpg"), ("Free", "b.jpg"), ("ok", "c.jpg"))]
    (tmp_path / "t.csv").write_text("image,tags\n" + "".join(f"{file},{file.split('/')[0]}\n" for file in files))
    bits = ("1,0,0", "0,1,0", "0,0,1")
    (tmp_path / "bits.csv").write_text(
        "image,crack,free,ok\n" + "".join(f"{file},{cells}\n" for file, cells in zip(files, bits, strict=True))
    )
    for tags in ("", "t.csv", "bits.csv"):
        given = {"images": str(images), "tags": str(tmp_path / tags) if tags else "", "validation": 0.0}
        data = open_data(DataRecipe(**given, no_tag="free, OK"))
        assert data.classes == ("crack",)
        assert dict(zip(data.files, data.tags[:, 0].tolist(), strict=True)) == {
            "crack/a.jpg": True, "Free/b.jpg": False, "ok/c.jpg": False,
        }  # fmt: skip
        assert any("means no tag: 2 images have no other" in note for note in data.notes)
        assert len(open_data(DataRecipe(**given)).classes) == 3
        with pytest.raises(DataError, match=r"data\.no_tag is 'fre', but no image"):
            open_data(DataRecipe(**given, no_tag="fre"))
        assert any("has the tag 'fre'" in note for note in open_data(DataRecipe(**given, no_tag="free,fre")).notes)
