"""Embedded demo data: small illustrated scenes with tags, and masks to measure against.

The scenes are drawn from a random seed, so the library can be tried without a download. They are a fair miniature
of learning masks from tags, not a toy on which anything works:

* every toy carries a small, constant *part* (a cat's face, a pair of wheels) that alone tells its class, on
  a large body whose pattern, colour and outline are weak signs: most bodies of a class have one of a few,
  which other classes have too. A class activation map therefore finds the part and little of the body;
* some classes have a home ground (cows live on the meadow), so a method that grows or erases without
  restraint runs into a background that really does predict the tag;
* bodies stand out from the ground by colour and edges in most places but not in all of them, and debris
  in the same colours lies around, so refinement by low-level affinity helps without settling the matter.

Toys are polygons in a unit frame (y points down), placed by a similarity transform and drawn at twice the
final size. A scene is planned completely, which fixes its mask, before any pixel is painted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ktse.data.demo import toys as kit
from ktse.data.demo.toys import CLASSES

__all__ = ["CLASSES", "make_scenes"]

_Size: TypeAlias = tuple[int, int]  # width, height

_GENERATOR = 2  # raise it with every change that alters what is drawn
_SCALE = 2  # supersampling
_JITTER, _PORTRAIT, _EMPTY = 0.15, 0.15, 0.04  # of the sides; of images turned, of images without a toy
_MIN_VISIBLE, _MIN_PART = 0.35, 0.5  # shares of a toy and its part that must show, else it is left out
_SIDES = {1: (0.5, 0.65), 2: (0.4, 0.64), 3: (0.32, 0.58), 4: (0.26, 0.5)}  # of toys, by how many there are
_OWN_HUE = 0.7  # share of bodies whose colour is one of their class's
_AT_HOME, _AWAY, _ROAMING = 10.0, 0.4, 1.8  # odds of a class on its home ground, on others, without a home


class _Toy(NamedTuple):  # in pixels of the supersampled canvas
    label: int
    body: list[kit.Points]
    part: list[kit.Shape]
    centre: kit.Points
    axes: kit.Points  # (2, 2), from the toy's frame to pixels
    look: str
    colours: tuple[kit.Colour, kit.Colour]


def _toy(rng: np.random.Generator, label: int, centre: kit.Points, side: float, ground: kit.Ground) -> _Toy:
    kind = kit.KINDS[label - 1]
    aspect, power, taper = kind.outline * rng.uniform((0.85, 0.85, 1.0), (1.18, 1.2, 1.0))
    trunk = kit.superellipse(0.0, 0.0, 1.0, 1.0, power)
    swell = np.sin(3.0 * np.arctan2(trunk[:, 1], trunk[:, 0]) + rng.uniform(0.0, 2.0 * np.pi))
    trunk[:, 0] *= 1.0 + (taper + rng.uniform(-0.08, 0.08)) * trunk[:, 1]
    trunk *= 1.0 + rng.uniform(0.0, 0.05) * swell[:, None]
    body = [trunk, *(points for limb in kind.limbs.split() if rng.random() < 0.6 for points in kit.LIMBS[limb])]
    half = 0.42 * np.array([aspect**0.5, aspect**-0.5])
    turn, flip = rng.uniform(-0.3, 0.3), rng.choice([-1.0, 1.0])
    axes = side * np.array([[flip * np.cos(turn), -np.sin(turn)], [flip * np.sin(turn), np.cos(turn)]])

    def place(points: kit.Points) -> kit.Points:
        placed: kit.Points = np.rint(points @ axes.T + centre)  # whole pixels: the mask must not hang on the last bit
        return placed

    hue = rng.choice(kind.hues) if rng.random() < _OWN_HUE else rng.integers(len(kit.TOY_COLOURS))
    base = _mix(kit.TOY_COLOURS[hue], ground.near, rng.uniform(0.0, 0.45))
    accent = _mix(base, kit.CREAM if rng.random() < 0.6 else kit.INK, rng.uniform(0.35, 0.6))
    part = [(place(0.42 * kind.reach * points + half * kind.anchor), colour) for points, colour in kind.part]
    looks = kind.looks.split()
    look = looks[rng.integers(len(looks))]
    return _Toy(label, [place(points * half) for points in body], part, centre, axes, look, (base, accent))


def _plan(rng: np.random.Generator, size: _Size) -> tuple[kit.Ground, list[_Toy]]:
    """Choose the ground and place the toys on a canvas of ``size`` pixels, the farthest toy first."""
    name = rng.choice(list(kit.GROUNDS), p=[ground.share for ground in kit.GROUNDS.values()])
    ground = kit.GROUNDS[name]
    if rng.random() < _EMPTY:
        return ground, []
    count = int(rng.choice(list(_SIDES), p=[0.24, 0.36, 0.27, 0.13]))
    classes = min(count, int(rng.choice([1, 2, 3], p=[0.2, 0.45, 0.35])))
    odds = np.array([_AT_HOME if kind.home == name else _AWAY if kind.home else _ROAMING for kind in kit.KINDS])
    labels = rng.choice(len(kit.KINDS), size=classes, replace=False, p=odds / odds.sum()) + 1
    toys: list[_Toy] = []
    for label in [*labels, *rng.choice(labels, size=count - classes)]:
        side = rng.uniform(*_SIDES[count]) * min(size)
        margin = 0.46 * side  # toys may stick out of the frame a little
        spots = rng.uniform(margin, np.array(size) - margin, (3, 2))
        # The roomiest of three spots: toys overlap, but rarely pile up.
        room = [min((np.hypot(*(spot - toy.centre)) for toy in toys), default=0.0) for spot in spots]
        toys.append(_toy(rng, int(label), spots[np.argmax(room)], side, ground))
    return ground, sorted(toys, key=lambda toy: float(toy.centre[1]))


def _stencil(size: _Size, polygons: Sequence[kit.Points]) -> Image.Image:
    """Union of polygons as a mask image of 0 and 255."""
    stencil = Image.new("L", size)
    draw = ImageDraw.Draw(stencil)
    for points in polygons:
        draw.polygon(points.ravel().tolist(), fill=255)
    return stencil


def _visible(toys: Sequence[_Toy], size: _Size) -> tuple[list[_Toy], NDArray[np.uint8]]:
    """Leave out the toys of which too little shows. Returns the others and the mask, (height, width)."""
    mask = np.zeros((size[1] // _SCALE, size[0] // _SCALE), dtype=np.uint8)
    kept: list[_Toy] = []
    for toy in reversed(toys):  # from the nearest, so that a toy left out hides nothing
        points = [points for points, _ in toy.part]
        part = np.asarray(_stencil(size, points).reduce(_SCALE)) > 127
        whole = np.asarray(_stencil(size, toy.body + points).reduce(_SCALE)) > 127
        free = mask == 0
        if (whole & free).sum() < _MIN_VISIBLE * whole.sum() or (part & free).sum() < _MIN_PART * part.sum():
            continue
        mask[whole & free] = toy.label
        kept.append(toy)
    return kept[::-1], mask


def _mix(one: kit.Colour, other: kit.Colour, share: float) -> kit.Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _noise(rng: np.random.Generator, size: _Size, cells: int) -> kit.Field:
    """Smooth noise of about ``cells`` bumps a row, (height, width), about -1..1."""
    grid = rng.uniform(-1.0, 1.0, (cells * size[1] // size[0] + 2, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC))


def _to_image(pixels: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _paint_ground(rng: np.random.Generator, ground: kit.Ground, size: _Size) -> Image.Image:
    """Paint a far strip, the near ground with its marks, and debris in the colours of the toys."""
    (width, height), unit = size, min(size)
    top = int(height * rng.uniform(0.1, 0.32))
    down = np.arange(height, dtype=np.float32)[:, None, None]
    bumps = 10.0 * _noise(rng, size, 6) + 8.0 * _noise(rng, size, 24)
    pixels = np.where(down < top, ground.far, ground.near) * (0.86 + 0.24 * down / height) + bumps[:, :, None]
    canvas = _to_image(pixels + rng.uniform(-10.0, 10.0, 3))
    draw = ImageDraw.Draw(canvas)
    for x, y, a, b, tone in rng.random((ground.marks, 5)):
        fill = _mix(_mix(ground.near, kit.INK, 0.3), ground.accent, tone)
        ground.mark(draw, x * 1.2 * width - 0.1 * width, top + 2 + y * (height - top), a, b, fill)
    for _ in range(rng.integers(8, 22)):
        x, y = rng.uniform((0, top), size)
        fill = _mix(kit.TOY_COLOURS[rng.integers(len(kit.TOY_COLOURS))], ground.near, rng.uniform(0.0, 0.45))
        if rng.random() < 0.4:
            dx, dy = rng.uniform(-0.13, 0.13, 2) * unit
            draw.line((x, y, x + dx, y + dy), fill, width=int(rng.integers(3, 8)))
        else:
            rx, ry = rng.uniform(0.015, 0.075, 2) * unit
            draw.polygon(kit.superellipse(x, y, rx, ry, rng.uniform(1.2, 5.0)).ravel().tolist(), fill)
    return canvas


def _paint_toy(canvas: Image.Image, toy: _Toy) -> None:
    body = _stencil(canvas.size, toy.body)
    drop = int(0.04 * np.hypot(*toy.axes[:, 1]))
    shadow = Image.new("L", canvas.size)
    shadow.paste(body.point(lambda value: value * 0.4), (drop, 2 * drop))
    canvas.paste((34, 36, 56), mask=shadow.filter(ImageFilter.BoxBlur(drop)))
    box = body.getbbox()
    assert box is not None  # no toy is painted that does not show
    x, y = np.meshgrid(np.arange(box[0], box[2]) - toy.centre[0], np.arange(box[1], box[3]) - toy.centre[1])
    u, v = np.tensordot(np.linalg.inv(toy.axes), np.stack([x, y]), axes=1).astype(np.float32)
    base, accent = np.array(toy.colours, dtype=np.float32)
    shade = (1.04 - 0.36 * v - 0.5 * u * u)[:, :, None]
    pixels = (base + (accent - base) * kit.LOOKS[toy.look](u, v)[:, :, None]) * shade
    canvas.paste(_to_image(pixels), box[:2], body.crop(box))
    draw = ImageDraw.Draw(canvas)
    for points, colour in toy.part:
        draw.polygon(points.ravel().tolist(), fill=colour)


def _light(rng: np.random.Generator, canvas: Image.Image) -> Image.Image:
    """Reduce the canvas to its final size, under light that varies in strength, colour and place."""
    small = canvas.reduce(_SCALE)
    across = rng.uniform(-0.1, 0.1) * np.linspace(-1.0, 1.0, small.width, dtype=np.float32)
    light = rng.uniform(0.85, 1.15) + across + 0.07 * _noise(rng, small.size, 3)
    warmth = rng.uniform(-0.05, 0.05)
    pixels = np.asarray(small) * light[:, :, None] * (1.0 + warmth, 1.0, 1.0 - warmth)
    return _to_image(pixels + rng.uniform(1.5, 5.0) * rng.standard_normal(pixels.shape, dtype=np.float32))


def _scene(random_seed: int, index: int, size: _Size) -> tuple[Image.Image, Image.Image, list[str]]:
    """Draw scene ``index``: the image, its mask (mode P) and its tags in the order of the classes."""
    rng = np.random.default_rng([random_seed, index])
    width, height = (round(side * rng.uniform(1.0 - _JITTER, 1.0 + _JITTER)) for side in size)
    if rng.random() < _PORTRAIT:
        width, height = height, width
    large = (width * _SCALE, height * _SCALE)
    ground, planned = _plan(rng, large)
    toys, labels = _visible(planned, large)
    canvas = _paint_ground(rng, ground, large)
    for toy in toys:
        _paint_toy(canvas, toy)
    mask = Image.fromarray(labels)
    mask.putpalette([0, 0, 0, *sum(kit.TOY_COLOURS, ())])
    return _light(rng, canvas), mask, [CLASSES[label - 1] for label in sorted({toy.label for toy in toys})]


def _is_made(folder: Path, wanted: str) -> bool:
    """Whether ``folder`` holds just the scenes wanted; FileExistsError if it holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    made = folder / "scenes.json"
    found = made.read_text(encoding="utf-8").strip() if made.is_file() else "no finished scenes"
    if found != wanted:
        raise FileExistsError(f"{folder} holds {found}, not {wanted}: remove it or choose another folder")
    return True


def make_scenes(
    folder: Path,
    *,
    images: int = 400,
    size: tuple[int, int] = (160, 128),
    random_seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Draw the demo data set into ``folder``, unless the same one is there already.

    Writes ``images/NNNN.jpg`` (RGB), ``masks/NNNN.png`` (mode P, uint8: 0 is background, ``k`` is class
    ``k``; for measuring only, never for training), ``tags.csv`` (``image,tags``; the tags separated by
    ``;``, none in about 4 % of the images), ``classes.txt`` (line ``k`` names class ``k``) and
    ``scenes.json`` (the arguments). An image is tagged with exactly the classes in its mask. Scene ``i``
    depends on ``random_seed``, ``size`` and ``i`` alone, so a larger set begins with the smaller one. The folder
    appears in one piece: after an interruption there is none.

    Args:
        folder: Where to write; parent folders are made. It may exist if it is empty.
        images: Number of images, at least 1.
        size: Width and height, each at least 64 pixels. The sides of an image differ from it by up to 15 %,
            and about every seventh image is turned on its side.
        random_seed: Any number from 0 up.
        progress: Called with the number of images done, after each one.

    Raises:
        ValueError: An argument is out of its range.
        FileExistsError: ``folder`` holds something else, such as scenes made with other arguments.
    """
    if images < 1 or min(size) < 64 or random_seed < 0:
        raise ValueError(f"need images >= 1, sides >= 64 and random_seed >= 0, not {images}, {size} and {random_seed}")
    wanted = json.dumps({"generator": _GENERATOR, "images": images, "size": size, "seed": random_seed})
    if _is_made(folder, wanted):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        build = Path(temporary) / "scenes"  # within, as the temporary folder is private to its user
        for name in ("images", "masks"):
            (build / name).mkdir(parents=True)
        rows = ["image,tags"]
        for index in range(images):
            image, mask, tags = _scene(random_seed, index, size)
            image.save(build / "images" / f"{index:04d}.jpg", quality=92)
            mask.save(build / "masks" / f"{index:04d}.png")
            rows.append(f"{index:04d}.jpg,{';'.join(tags)}")
            if progress is not None:
                progress(index + 1)
        for file_name, lines in (("tags.csv", rows), ("classes.txt", CLASSES), ("scenes.json", [wanted])):
            text = "\n".join(lines)
            (build / file_name).write_text(f"{text}\n", encoding="utf-8", newline="\n")
        try:
            if folder.exists():
                folder.rmdir()  # it was empty when looked at
            build.rename(folder)
        except OSError:
            if not _is_made(folder, wanted):  # else another process was faster, with the same scenes
                raise
