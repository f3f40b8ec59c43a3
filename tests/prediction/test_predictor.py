"""The predictor: any form of image, tiles, scales and mirror images, files and going on after an interruption."""

from __future__ import annotations

import csv
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ktse.data.dataset import read_image
from ktse.errors import DataError
from ktse.prediction import predictor as module
from ktse.prediction.files import predict_folder, tidy
from ktse.prediction.predictor import Predictor, as_image, decide
from ktse.recipe import PredictRecipe

ONCE = PredictRecipe(flip=False)


class Colours:
    """A model that says red, green or blue, pixel by pixel: what it should answer is known for every image."""

    classes = ("green", "blue")

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        self.shapes.append(images.shape)
        scores = np.moveaxis(images.astype(np.float32) + 1, -1, 1)
        return scores / scores.sum(axis=1, keepdims=True)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return 8 * np.log(self.probabilities(images))


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def expected(picture: np.ndarray) -> tuple[np.ndarray, float]:
    scores = picture.astype(np.float64) + 1
    label, best = picture.argmax(axis=-1), (scores / scores.sum(axis=-1, keepdims=True)).max(axis=-1)
    return label, float(np.mean([best[label == number].mean() for number in (1, 2)]))


def test_every_form_of_an_image_gives_the_same(picture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    forms = [
        path,
        str(path),
        Image.fromarray(picture),
        picture,
        picture / 255,
        torch.from_numpy(picture).permute(2, 0, 1),
        torch.from_numpy(picture).permute(2, 0, 1) / 255,
        np.concatenate([picture, np.full((90, 120, 1), 255, np.uint8)], axis=-1),
    ]
    label, confidence = expected(picture)
    for form in forms:
        found = Predictor(Colours(), ONCE).predict(form)
        np.testing.assert_array_equal(found.label, label)
        assert found.label.dtype == np.uint8
        assert found.confidence == pytest.approx(confidence, abs=1e-6)
        assert found.probabilities is None


@pytest.mark.parametrize("tile", [0, 64])
def test_known_tags_leave_no_other_class(picture: np.ndarray, tile: int) -> None:
    predictor = Predictor(Colours(), PredictRecipe(flip=False, tile=tile))
    found = predictor.predict(picture, tags=["blue"], probabilities=True)
    red, _, blue = np.moveaxis(picture.astype(np.float64) + 1, -1, 0)
    np.testing.assert_array_equal(found.label, np.where(blue > red, 2, 0))
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities[2], blue / (red + blue), atol=1e-5)
    assert not found.probabilities[1].any()
    assert found.confidence == pytest.approx(float((blue / (red + blue))[blue > red].mean()), abs=1e-5)
    assert not predictor.predict(picture, tags=[]).label.any()
    with pytest.raises(DataError, match="'pink'"):
        predictor.predict(picture, tags=["blue", "pink"])


def test_grey_images_become_rgb() -> None:
    grey = np.full((40, 50), 7, np.uint8)
    for form in (grey, grey[..., None], torch.from_numpy(grey)[None]):
        assert Predictor(Colours(), ONCE).predict(form).label.shape == (40, 50)


def test_an_image_in_memory_is_read_like_its_file(tmp_path: Path) -> None:
    deep = Image.fromarray((np.arange(12 * 16).reshape(12, 16) * 300).astype(np.uint16))
    clear = np.dstack([np.full((12, 16, 3), 200, np.uint8), np.full((12, 16), 40, np.uint8)])
    for name, forms in {"deep": [deep], "clear": [Image.fromarray(clear), clear]}.items():
        path = tmp_path / f"{name}.png"
        (forms[0] if isinstance(forms[0], Image.Image) else Image.fromarray(clear)).save(path)
        for form in forms:
            assert np.array_equal(np.asarray(as_image(form)), np.asarray(as_image(path)))


def test_an_image_called_image_keeps_its_confidence(tmp_path: Path) -> None:
    (tmp_path / "confidence.csv").write_text("image,confidence\nb,0.5000\nimage,0.9000\nb,0.6000\n")
    tidy(tmp_path)
    assert (tmp_path / "confidence.csv").read_text().split() == ["image,confidence", "b,0.6000", "image,0.9000"]


@pytest.mark.parametrize(
    "image",
    [
        3,
        None,
        np.zeros((3, 40, 50), np.uint8),
        np.zeros((4, 5, 3)) + 9.0,
        np.full((4, 5, 3), np.nan),
        np.zeros((0, 4)),
        np.zeros((5, 5), np.int32),
        torch.zeros(2, 3, 40, 50),
        torch.zeros(3, 4, 4) - 1,
    ],
)
def test_what_is_no_image_is_a_message(image: object) -> None:
    with pytest.raises(DataError, match="image"):
        Predictor(Colours(), ONCE).predict(image)


@pytest.mark.parametrize("overlap", [16, 128])
def test_tiles_give_what_the_whole_image_gives(
    picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, overlap: int
) -> None:
    monkeypatch.setattr(module, "OVERLAP", overlap)
    whole = Predictor(Colours(), ONCE).predict(picture, probabilities=True)
    model = Colours()
    tiled = Predictor(model, PredictRecipe(flip=True, tile=64)).predict(picture, probabilities=True)
    assert len(model.shapes) > 3
    assert all(shape[1:3] <= (64, 64) and shape[0] == 2 for shape in model.shapes)
    np.testing.assert_allclose(tiled.probabilities, whole.probabilities, atol=1e-5)
    assert tiled.confidence == pytest.approx(whole.confidence, abs=1e-5)
    np.testing.assert_allclose(tiled.probabilities.sum(axis=0), 1, atol=1e-5)


def test_rows_of_tiles_get_lower_where_memory_is_short(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BAND", 4 * 3 * 120 * 40)
    monkeypatch.setattr(module, "OVERLAP", 16)
    model = Colours()
    found = Predictor(model, PredictRecipe(flip=False, tile=64)).predict(picture)
    assert max(shape[1] for shape in model.shapes) == 40
    np.testing.assert_array_equal(found.label, expected(picture)[0])


def test_scales_and_long_side_decide_what_the_network_sees(picture: np.ndarray) -> None:
    model = Colours()
    found = Predictor(model, PredictRecipe(scales=(0.5, 1.0), flip=True, long_side=80)).predict(picture)
    assert model.shapes == [(2, 32, 40, 3), (2, 60, 80, 3)]
    assert found.label.shape == (90, 120)


@pytest.mark.parametrize("shape", [(90, 120), (130, 100)])
def test_a_large_image_that_the_network_sees_small_is_scored_in_bands(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    smooth = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(smooth).resize(shape[::-1], Image.Resampling.BICUBIC)
    recipe = PredictRecipe(scales=(0.5, 1.0), flip=True, long_side=64)
    whole = Predictor(Colours(), recipe).predict(photo, probabilities=True)
    monkeypatch.setattr(module, "BAND", 4 * 4 * 3 * 7 * shape[1])
    model = Colours()
    predictor = Predictor(model, recipe)
    heights = [scores.shape[1] for _, scores in predictor.bands(photo)]
    assert heights == [7] * (shape[0] // 7) + [shape[0] % 7]
    found = predictor.predict(photo, probabilities=True)
    assert max(max(seen[1:3]) for seen in model.shapes) <= 65  # of a smaller image, but the same size for the network
    assert found.probabilities is not None
    assert whole.probabilities is not None
    np.testing.assert_allclose(found.probabilities, whole.probabilities, atol=0.06)
    assert (found.label == whole.label).mean() > 0.98


def test_scales_are_merged_by_the_maximum_of_their_scores(picture: np.ndarray) -> None:
    def at(size: tuple[int, int]) -> np.ndarray:
        small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
        planes = Colours().logits(small[None])[0]
        return np.stack(
            [np.asarray(Image.fromarray(plane).resize((120, 90), Image.Resampling.BILINEAR)) for plane in planes]
        )

    recipe = PredictRecipe(scales=(0.5, 1.0), merge="max", flip=False)
    found = Predictor(Colours(), recipe).predict(picture, probabilities=True)
    expected = torch.from_numpy(np.maximum(at((60, 45)), at((120, 90)))).softmax(dim=0).numpy()
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    mirrored = Predictor(Colours(), PredictRecipe(scales=(0.5, 1.0), merge="max", flip=True)).predict(
        picture, probabilities=True
    )
    np.testing.assert_allclose(mirrored.probabilities, expected, atol=0.02)  # a mirror image tells nothing new here
    alone = Predictor(Colours(), PredictRecipe(merge="max", flip=False)).predict(picture, probabilities=True)
    power = (picture.astype(np.float64) + 1) ** 8
    np.testing.assert_allclose(
        np.moveaxis(alone.probabilities, 0, -1), power / power.sum(axis=-1, keepdims=True), atol=1e-4
    )


def test_the_best_label_is_that_of_argmax_with_the_first_of_equals() -> None:
    scores = np.random.default_rng(0).integers(0, 4, (5, 30, 40)).astype(np.float32)
    label, best = decide(scores)
    np.testing.assert_array_equal(label, scores.argmax(axis=0))
    np.testing.assert_array_equal(best, scores.max(axis=0))


# --- files


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    generator = np.random.default_rng(2)
    for name in ("a.png", "deep/b.png", "c.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (45, 61, 3), dtype=np.uint8)).save(path)
    return tmp_path / "in"


def test_all_outputs_of_a_folder(photos: Path, tmp_path: Path) -> None:
    recipe = PredictRecipe(flip=False, overlay=True, probabilities=2, tile=64)
    written = predict_folder(Predictor(Colours(), recipe), photos, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == ["a.png", "c.png", "deep/b.png"]
    table = dict(csv.reader((tmp_path / "out" / "confidence.csv").read_text().splitlines()))
    assert list(table) == ["image", "a", "c", "deep/b"]
    for name in ("a", "deep/b"):
        picture = np.asarray(read_image(photos / f"{name}.png"))
        label, confidence = expected(picture)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / f"{name}.png")), label)
        assert float(table[name]) == pytest.approx(confidence, abs=1e-4)
        with np.load(tmp_path / "out" / "probabilities" / f"{name}.npz", allow_pickle=False) as file:
            full = Colours().probabilities(picture[None])[0]
            np.testing.assert_allclose(file["probability"], full[:, ::2, ::2], atol=1e-3)
        with Image.open(tmp_path / "out" / "overlays" / f"{name}.jpg") as image:
            assert image.size == (61, 45)


def test_what_is_left_out_of_a_folder_is_said(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [Image.new("RGB", (61, 45), colour) for colour in ("red", "blue")]
    frames[0].save(photos / "d.mpo", save_all=True, append_images=frames[1:])
    (photos / "e.heic").write_bytes(b"x")
    (photos / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (photos / "run").mkdir()
    for name in ("recipe.yaml", "manifest.json"):
        (photos / "run" / name).touch()
    (photos / "a.jpg").mkdir()
    (photos / "f.jpg").write_bytes((photos / "a.png").read_bytes())
    Image.new("RGB", (61, 45)).save(photos / "a.jpg" / "1.png")
    written = predict_folder(Predictor(Colours(), ONCE), photos, tmp_path / "out")
    names = [path.relative_to(tmp_path / "out").as_posix() for path in written]
    assert names == ["a.jpg/1.png", "a.png.png", "c.png", "d.png", "deep/b.png", "f.png"]
    assert all(path.is_file() for path in written)
    said = capsys.readouterr().err
    for part in ("1 .heic (a HEIC photo)", "gone.png leads nowhere", "run is a run folder"):
        assert part in said
    assert said.count("predict: ") == 3


def test_every_nth_pixel_is_kept_across_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OVERLAP", 9)
    picture = np.random.default_rng(3).integers(0, 256, (211, 70, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    predict_folder(Predictor(Colours(), PredictRecipe(flip=False, tile=64, probabilities=3)),
                   tmp_path / "a.png", tmp_path / "out")  # fmt: skip
    with np.load(tmp_path / "out" / "probabilities" / "a.npz", allow_pickle=False) as file:
        np.testing.assert_allclose(
            file["probability"], Colours().probabilities(picture[None])[0, :, ::3, ::3], atol=1e-3
        )


def test_an_interrupted_folder_goes_on_and_keeps_its_table(photos: Path, tmp_path: Path) -> None:
    class Tired(Colours):
        def probabilities(self, images: np.ndarray) -> np.ndarray:
            if len(self.shapes) == 1:
                raise KeyboardInterrupt
            return super().probabilities(images)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict_folder(Predictor(Tired(), ONCE), photos, out)
    assert [path.name for path in out.rglob("*.png")] == ["a.png"]
    assert not list(out.rglob("*.part"))
    model = Colours()
    predict_folder(Predictor(model, ONCE), photos, out)
    assert len(model.shapes) == 2
    assert [row[0] for row in csv.reader((out / "confidence.csv").read_text().splitlines())][1:] == ["a", "c", "deep/b"]
    predict_folder(Predictor(model, ONCE), photos, out)
    assert len(model.shapes) == 2
    predict_folder(Predictor(model, PredictRecipe(flip=False, overlay=True)), photos, out)
    assert len(model.shapes) == 5


def test_open_files_and_bytes_are_images(picture: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    label, _ = expected(picture)
    predictor = Predictor(Colours(), ONCE)
    with path.open("rb") as file:
        assert np.array_equal(predictor.predict(file).label, label)
    assert np.array_equal(predictor.predict(BytesIO(path.read_bytes())).label, label)
    with path.open(encoding="latin-1") as text, pytest.raises(DataError, match="open as text") as caught:
        predictor.predict(text)
    assert '"rb"' in caught.value.hint
    with pytest.raises(DataError, match="the image in memory cannot be read"):
        predictor.predict(BytesIO(b"no image"))


def test_a_prediction_shows_itself(picture: np.ndarray) -> None:
    picture[:, :60], picture[:, 60:] = (200, 20, 20), (20, 200, 30)
    found = Predictor(Colours(), ONCE).predict(picture)
    shown = found.overlay()
    assert (shown.mode, shown.size) == ("RGB", (120, 90))
    pixels = np.asarray(shown)
    assert np.array_equal(pixels[:, :50], picture[:, :50])  # background stays as it is
    assert (pixels[:, 60:] != picture[:, 60:]).any(axis=-1).all()
    assert np.array_equal(np.asarray(found.overlay(Image.fromarray(picture))), pixels)
    assert not np.array_equal(np.asarray(found.overlay(alpha=0.1)), pixels)
    png = found._repr_png_()
    assert png is not None
    with Image.open(BytesIO(png)) as image:
        assert np.array_equal(np.asarray(image), pixels)
    bare = module.Prediction(found.label, found.confidence)
    assert bare._repr_png_() is None
    with pytest.raises(DataError, match="does not hold its photo"):
        bare.overlay()


def test_a_large_prediction_is_shown_smaller(monkeypatch: pytest.MonkeyPatch, picture: np.ndarray) -> None:
    monkeypatch.setattr(module, "LARGEST_SHOWN", 60)
    png = Predictor(Colours(), ONCE).predict(picture)._repr_png_()
    assert png is not None
    with Image.open(BytesIO(png)) as image:
        assert image.size == (60, 45)


def test_models_and_predictions_say_what_they_are_in_one_line(picture: np.ndarray) -> None:
    predictor = Predictor(Colours(), ONCE)
    assert repr(predictor) == "<Predictor of 2 classes: green, blue>"
    picture[:, :60], picture[:, 60:90], picture[:, 90:] = (0, 0, 255), (0, 255, 0), (255, 0, 0)
    found = predictor.predict(picture)
    assert repr(found) == (f"<Prediction of 120x90 pixels: blue 50 %, green 25 %; confidence {found.confidence:.2f}>")
    picture[:] = (255, 0, 0)
    assert "background alone" in repr(predictor.predict(picture))
