"""What check warns of, through the command line: images without contrast, thumbnails, names that look alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import touch
from ktse.cli import main

SIZE = (96, 128)  # height, width


def photo(number: int) -> np.ndarray:
    """A grey photo, values 0..1: noise with a bright box."""
    rng = np.random.default_rng(number)
    values = rng.uniform(0.2, 0.6, SIZE)
    values[20:60, 30:70] = rng.uniform(0.7, 1.0, (40, 40))
    return values


def save(path: Path, values: np.ndarray, kind: str) -> None:
    """Save values 0..1 as cameras and maps do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hole = values.copy()
    hole[:40] = np.nan
    made = {
        "8 bits": lambda: (values * 255).astype(np.uint8),
        "16 bits": lambda: (values * 65535).astype(np.uint16),
        "12 in 16": lambda: (values * 4095).astype(np.uint16),
        "10 in 16": lambda: (values * 1023).astype(np.uint16),
        "8 in 16": lambda: (values * 255).astype(np.uint16),
        "no data": lambda: np.where(np.isnan(hole), -9999, values).astype(np.float32),
        "large no data": lambda: np.where(np.isnan(hole), 1e20, values).astype(np.float32),
        "floats": lambda: values.astype(np.float32),
        "black": lambda: (values * 3).astype(np.uint8),
        "white": lambda: (255 - values * 2).astype(np.uint8),
        "night": lambda: (values * 60).astype(np.uint8),
    }
    Image.fromarray(made[kind]()).save(path)


def checked(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    assert main(["check", *map(str, arguments), "--json"]) == 0
    warnings: list[str] = json.loads(capsys.readouterr().out)["warnings"]
    return warnings


def table(folder: Path, names: list[str], tags: list[str] | None = None) -> Path:
    rows = [f"{name},{tag}" for name, tag in zip(names, tags or ["x", ""] * len(names), strict=False)]
    path = folder / "t.csv"
    path.write_text("\n".join(["image,tags", *rows]) + "\n", encoding="utf-8")
    return path


FLAT, DARK = "(almost) one value only after conversion to 8 bits", "of the range of values, so that they are dark"


@pytest.mark.parametrize(
    ("kind", "flat", "dark"),
    [
        ("8 bits", False, False), ("16 bits", False, False), ("floats", False, False), ("night", False, True),
        ("12 in 16", False, True), ("10 in 16", True, True), ("8 in 16", True, True), ("no data", True, False),
        ("large no data", True, False), ("black", True, True), ("white", True, False),
    ],
)  # fmt: skip
def test_images_that_use_a_sliver_of_their_range_are_counted_and_named(
    kind: str, flat: bool, dark: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{number}.tif" for number in range(4)]
    for number, name in enumerate(names):
        save(tmp_path / "images" / name, photo(number), kind)
    warnings = checked(capsys, tmp_path / "images", "--tags", table(tmp_path, names))
    for text, expected in ((FLAT, flat), (DARK, dark)):
        found = [warning for warning in warnings if text in warning]
        assert len(found) == expected
        assert all(warning.startswith("4 images") and warning.endswith(": 0, 1, 2, 3") for warning in found)


def test_single_images_without_contrast_are_named_and_a_night_among_days_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["8 bits", "black", "white", "night", "16 bits"]
    for number, kind in enumerate(kinds):
        save(tmp_path / "images" / f"{number}.png", photo(number), kind)
    names = [f"{number}.png" for number in range(5)]
    warnings = checked(capsys, tmp_path / "images", "--tags", table(tmp_path, names))
    assert [one for one in warnings if FLAT in one] == [
        f"2 images have {FLAT} (1 black, 1 white, 0 grey or coloured): 1, 2"
    ]
    assert not any(DARK in one for one in warnings)


def test_a_folder_of_thumbnails_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [*(f"{number}.jpg" for number in range(4)), *(f"small/{number}.jpg" for number in range(4))]
    for number, name in enumerate(names):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        size = (40, 30) if "/" in name else (400, 300)
        Image.fromarray((photo(number) * 255).astype(np.uint8)).resize(size).save(tmp_path / "images" / name)
    warnings = checked(capsys, tmp_path / "images", "--tags", table(tmp_path, names))
    assert "every image in the folder small (4) is tiny (at most 40 pixels): thumbnails?" in warnings
    warnings = checked(capsys, tmp_path / "images" / "small", "--tags", table(tmp_path, names[:4]))
    assert "all images are tiny (at most 40 pixels): are these thumbnails?" in warnings


@pytest.mark.parametrize(
    ("one", "other"),
    [("ball", "b\u0430ll"), ("dog", "Dog"), ("hot dog", "hot  dog"), ("x-ray", "x\u200dray"), ("cow", "с\u043ew")],
)
def test_classes_that_look_alike_are_warned_of(
    one: str, other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{number}.png" for number in range(4)]
    touch(tmp_path / "images", *names)
    tags = [one, other, "tree", ""]
    warnings = checked(capsys, tmp_path / "images", "--tags", table(tmp_path, names, tags))
    found = [warning for warning in warnings if "look like one class" in warning]
    assert len(found) == 1
    assert repr(one) in found[0]
    assert ("another alphabet" in found[0]) == (not other.isascii())


@pytest.mark.parametrize("other", ["cafe\u0301", "caf\u00e9\u200b", "\u00a0caf\u00e9 ", "\ufeffcaf\u00e9"])
def test_classes_that_only_unicode_tells_apart_are_one(
    other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{number}.png" for number in range(4)]
    touch(tmp_path / "images", *names)
    path = table(tmp_path, names, ["caf\u00e9", other, "tree", ""])
    assert main(["check", str(tmp_path / "images"), "--tags", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == {"caf\u00e9": 2, "tree": 1}


@pytest.mark.parametrize(
    "name", ["Free", "normal", "No defect", "no_defect", "GOOD", "healthy", "Negative", "background"]
)
def test_a_class_that_means_no_tag_is_suggested_and_nothing_is_done(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path / "images", f"{name}/a.png", f"{name}/b.png", "crack/c.png", "hole/d.png")
    warnings = checked(capsys, tmp_path / "images")
    (found,) = [warning for warning in warnings if "--data.no_tag" in warning]
    assert name in found
    given = found.rpartition("--data.no_tag ")[2].strip("'")
    assert main(["check", str(tmp_path / "images"), "--data.no_tag", given, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["classes"] == {"crack": 1, "hole": 1}
    assert content["untagged"] == 2
    assert not any("if so: --data.no_tag" in warning for warning in content["warnings"])
