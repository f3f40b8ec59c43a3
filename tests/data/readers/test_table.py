"""Tables of tags in all their forms: which columns, which separator, which rows are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from drawn import read_tags
from fakes import touch
from ktse.data.open import open_data
from ktse.data.readers.table import find_table
from ktse.errors import DataError
from ktse.recipe import DataRecipe

FOUND_OUT = DataRecipe()
GIVEN = DataRecipe(image_column="f", tag_column="dog,big cat")
OTHER = DataRecipe(tag_column="other", separator="/")
EXPECTED = {"a.jpg": ("dog", "big cat"), "b c.png": (), "x/d.jpg": ("dog",)}


RECORDS = (
    '{"image": "a.jpg", "tags": "dog;big cat"}', '{"image": "b c.png", "tags": ""}',
    '{"tags": ["dog"], "image": "x/d.jpg"}',
)  # fmt: skip
BITS = (
    '{"image": "a.jpg", "dog": 1, "big cat": true}', '{"image": "b c.png", "dog": 0, "big cat": 0}',
    '{"image": "x/d.jpg", "dog": 1, "big cat": 0}',
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("t.csv", "image,tags\na.jpg,dog;big cat\nb c.png,\nx/d.jpg,dog\n", FOUND_OUT),
        ("t.csv", "\ufeffid,Label\r\na.jpg,dog|big cat\r\n\r\nb c.png,\r\nx/d.jpg,dog\r\n", FOUND_OUT),
        ("t.csv", 'image;tags\na.jpg;"dog, big cat"\nb c.png;\nx/d.jpg;dog\n', FOUND_OUT),
        ("t.tsv", "filename\twidth\ttags\na.jpg\t3\tdog,big cat\nb c.png\t3\t\nx/d.jpg\t3\tdog\n", FOUND_OUT),
        ("t.csv", "photo,what\na.jpg,dog;big cat\nb c.png,\nx/d.jpg,dog\n", FOUND_OUT),
        ("t.csv", "dog,photo,big cat\n1,a.jpg,1\n0,b c.png,0\n1.0,x/d.jpg,False\n", FOUND_OUT),
        (
            "t.csv",
            "n,f,dog,big cat\n7,a.jpg,1,1\n8,b c.png,0,0\n9,x/d.jpg,1,0\n",
            GIVEN,
        ),
        (
            "t.csv",
            "image,tags,other\na.jpg,no,dog/big cat\nb c.png,no,\nx/d.jpg,no,dog\n",
            OTHER,
        ),
        ("t.json", '{"a.jpg": ["dog", "big cat"], "b c.png": [], "x/d.jpg": "dog"}', FOUND_OUT),
        ("t.json", f"[{','.join(RECORDS)}]", FOUND_OUT),
        ("t.json", f"[{','.join(BITS)}]", FOUND_OUT),
        ("t.jsonl", "\n\n".join(RECORDS), FOUND_OUT),
        ("t.txt", "image,tags\na.jpg,dog;big cat\nb c.png,\nx/d.jpg,dog\n", FOUND_OUT),
        # What spreadsheets and pandas make of a table: a line that names the delimiter, a trailing one, empty rows at
        # the end, row numbers without a name, lists as text.
        ("t.csv", "\ufeffsep=;\r\nimage;tags\r\na.jpg;dog, big cat\r\nb c.png;\r\nx/d.jpg;dog\r\n", FOUND_OUT),
        ("t.csv", "image,tags,\na.jpg,dog;big cat,\nb c.png,,\nx/d.jpg,dog,\n,,\n , ,\n", FOUND_OUT),
        ("t.csv", ",image,tags\n0,a.jpg,dog;big cat\n1,b c.png,\n2,x/d.jpg,dog\n", FOUND_OUT),
        ("t.csv", ",id,dog,big cat\n0,a.jpg,1,1\n1,b c.png,0,0\n2,x/d.jpg,1,0\n", FOUND_OUT),
        ("t.csv", "Unnamed: 0,id,dog,big cat\n0,a.jpg,1,1\n1,b c.png,0,0\n2,x/d.jpg,1,0\n", FOUND_OUT),
        ("t.csv", "image,tags\na.jpg,\"['dog', 'big cat']\"\nb c.png,[]\nx/d.jpg,['dog']\n", FOUND_OUT),
        ("t.csv", 'image,tags\na.jpg,"[""dog"", ""big cat""]"\nb c.png,\nx/d.jpg,"[""dog""]"\n', FOUND_OUT),
    ],
)
def test_a_table_in_any_form_says_the_same(tmp_path: Path, name: str, content: str, columns: DataRecipe) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    found = read_tags(tmp_path / name, columns)
    assert {image: set(tags) for image, tags in found.items()} == {key: set(value) for key, value in EXPECTED.items()}


def test_a_list_splits_at_spaces_but_not_inside_the_name(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a.JPG dog cat\nb c.png\n\nx/ü d.jpg\tdog dog\n", encoding="utf-8")
    found = read_tags(tmp_path / "t.txt", FOUND_OUT)
    assert found == {"a.JPG": ("dog", "cat"), "b c.png": (), "x/ü d.jpg": ("dog",)}


def test_a_space_separates_only_when_asked_to(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,tags\na.jpg,clear primary\n")
    assert read_tags(tmp_path / "t.csv", FOUND_OUT) == {"a.jpg": ("clear primary",)}
    assert read_tags(tmp_path / "t.csv", DataRecipe(separator=" ")) == {"a.jpg": ("clear", "primary")}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "a,b\n1,2\n", "no column that holds image names"),
        ("t.csv", "image\na.jpg\n", "no column of tags"),
        ("t.csv", "image,image,tags\na,b,c\n", "two columns 'image'"),
        ("t.csv", "image,dog,age\na.jpg,1,37\nb.jpg,0,41\n", "row 3: age is '41', but must be 0 or 1"),
        ("t.csv", 'image,tags\na.jpg,"dog\n', "row 2: unexpected end of data"),
        ("t.csv", "image,tags\na.jpg,x\n,y\n", "row 3: the image name is empty"),
        ("t.json", "[1, 2", "not valid JSON"),
        ("t.json", "3", "holds no table"),
        ("t.json", '{"a.jpg": ["x"], "a.jpg": ["y"]}', "item 2: 'a.jpg' is there already, in item 1"),
        ("t.json", '[{"image": "a.jpg", "tags": ["x"]}, {"image": "b.jpg"}, 7]', "item 3: it is not an object"),
        ("t.json", '{"a.jpg": {"x": 1}}', "item 1: tags is {'x': 1}"),
        ("t.json", '[{"image": 3.5, "tags": "x"}]', "item 1: the image name is 3.5, not text"),
        ("t.jsonl", '{"image": "a.jpg", "tags": "x"}\n{oh\n', "line 2: it is not valid JSON"),
        ("t.txt", "a.jpg 0 1 0 1\n", "line 1: 0 and 1 for each class"),
        ("t.json", '{"a.jpg": [0, 1, 1]}', "item 1: tags is [0, 1, 1]: 0 and 1 for each class"),
        ("t.json", '{"image": "a.jpg", "tags": []}\n{"image": "b.jpg", "tags": []}', "has the ending .jsonl"),
        ("t.csv", "a.jpg,dog\nb.jpg,cat\n", "is no line of column names"),
        ("t.csv", "image,tags\na.jpg,x\na.jpg,y\n", "row 3: 'a.jpg' is there already, in row 2: an image has one row"),
        ("t.json", "[]", "no column that holds image names"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_tags(tmp_path / name, FOUND_OUT)
    assert message in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("t.csv", "image,tags\na.jpg,x\nb.jpg,Bär\n", r"line 3: b.jpg,B\xe4r"),
        ("t.txt", "a.jpg x\nb.jpg Bär\n", r"line 2: b.jpg B\xe4r"),
        ("t.json", '{"a.jpg": ["x"],\n"b.jpg": ["Bär"]}', r'line 2: "b.jpg": ["B\xe4r"]}'),
        ("t.jsonl", '{"image": "a.jpg", "tags": "Bär"}', r"line 1: "),
    ],
)
def test_text_in_another_encoding_is_refused_with_its_line(tmp_path: Path, name: str, content: str, place: str) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError) as error:
        read_tags(tmp_path / name, FOUND_OUT)
    assert place in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_text_as_excel_saves_it_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("image\ttags\r\na.jpg\tBär\r\n".encode(encoding))
    assert read_tags(tmp_path / "t.csv", FOUND_OUT) == {"a.jpg": ("Bär",)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothing", "holds no image that can be read\n  - it is empty"),
        ("papers", "holds no image that can be read\n  - files in it: 2 .pdf, 1 without an ending"),
        ("t.csv", "t.csv is a file"),
    ],
)
def test_what_is_no_folder_of_images_is_said(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "nothing").mkdir()
    touch(tmp_path / "papers", "1.pdf", "2.PDF", "readme")
    (tmp_path / "t.csv").write_text("image,tags\na.jpg,x\n")
    with pytest.raises(DataError) as error:
        open_data(DataRecipe(images=str(tmp_path / given), tags=str(tmp_path / "t.csv")))
    assert message in str(error.value)


def test_rows_files_and_damage_are_reported_together(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg", "x/a.jpg")
    (tmp_path / "t.csv").write_text("image,tags\na.jpg,x\nA.JPG,x\nb.jpg,x,y\ngone.jpg,x\n")
    with pytest.raises(DataError) as error:
        find_table(tmp_path / "images", tmp_path / "t.csv", FOUND_OUT)
    text = str(error.value)
    for part in ("row 3: 'A.JPG' is the file of row 2", "row 4: it has another", "row 5: 'gone.jpg'"):
        assert part in text
    assert "c.jpg has no row" in text
    assert "x/a.jpg has no row" in text
    assert "b.jpg has no row" not in text


@pytest.mark.parametrize("tag", ["dog\\ncat", "\\ud800", "a\\u2028b", "a\\u0000b"])
def test_a_tag_that_no_list_of_classes_can_hold_is_refused(tmp_path: Path, tag: str) -> None:
    images = touch(tmp_path / "images", "a.jpg")
    (tmp_path / "t.json").write_text(f'{{"a.jpg": ["{tag}"]}}')
    with pytest.raises(DataError, match=r"t\.json has tags that cannot be class names"):
        open_data(DataRecipe(images=str(images), tags=str(tmp_path / "t.json")))


def test_lists_of_images_choose_training_and_validation(tmp_path: Path) -> None:
    touch(tmp_path / "images", *(f"{number}.png" for number in range(6)))
    (tmp_path / "t.csv").write_text("image,tags\n" + "".join(f"{number}.png,x\n" for number in range(6)))
    (tmp_path / "train.txt").write_text("4\n0.png\n")
    (tmp_path / "val.txt").write_text("5.png\n")
    given = {"images": str(tmp_path / "images"), "tags": str(tmp_path / "t.csv")}
    both = open_data(
        DataRecipe(**given, train_list=str(tmp_path / "train.txt"), validation_list=str(tmp_path / "val.txt"))
    )
    assert both.ids == ("0", "4", "5")
    assert both.validation.tolist() == [False, False, True]
    assert "3 images are on neither list: left out" in both.notes
    one = open_data(DataRecipe(**given, validation_list=str(tmp_path / "val.txt")))
    assert one.validation.tolist() == [False] * 5 + [True]
    (tmp_path / "val.txt").write_text("4.png\nno.png\n")
    with pytest.raises(DataError) as error:
        open_data(
            DataRecipe(**given, train_list=str(tmp_path / "train.txt"), validation_list=str(tmp_path / "val.txt"))
        )
    assert "4.png is on both lists" in str(error.value)
    assert "val.txt: line 2: 'no.png'" in str(error.value)


def test_subfolders_with_splits_and_links_between_classes(tmp_path: Path) -> None:
    images = touch(tmp_path / "d", "train/dog/a.jpg", "train/cat/a.jpg", "val/dog/b.jpg", "test/dog/c.jpg")
    (images / "train" / "cat" / "both.jpg").symlink_to(images / "train" / "dog" / "a.jpg")
    data = open_data(DataRecipe(images=str(images)))
    assert data.classes == ("cat", "dog")
    assert data.ids == ("train/cat/a", "train/dog/a", "val/dog/b")
    assert data.tags.tolist() == [[True, False], [True, True], [False, True]]
    assert data.validation.tolist() == [False, False, True]
    assert "left out: 1 image under test" in data.notes
    assert not any("is that right?" in note for note in data.notes)
    assert any("one subfolder, 'd'" in note for note in open_data(DataRecipe(images=str(tmp_path))).notes)
    touch(images, "stray.jpg")
    with pytest.raises(DataError, match=r"stray\.jpg"):
        open_data(DataRecipe(images=str(images)))
