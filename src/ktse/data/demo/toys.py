"""What the demo's scenes are made of, as tables: colours, parts, looks, grounds, and the classes.

Shapes are polygons in a unit frame, y pointing down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

Points: TypeAlias = NDArray[np.float64]  # (n, 2), x and y
Field: TypeAlias = NDArray[np.float32]  # (height, width)
Colour: TypeAlias = tuple[int, int, int]
Shape: TypeAlias = tuple[Points, Colour]


def _colours(text: str) -> list[Colour]:
    """Colours by their hexadecimal numbers."""
    return [(number >> 16, number >> 8 & 255, number & 255) for number in (int(one, 16) for one in text.split())]


INK, WHITE, CREAM, PINK, RED, YELLOW, ORANGE, LIME = _colours("2c2836 fcfcfa fff6e2 f696a0 de3e3a fad632 f2761e c4e24a")
TOY_COLOURS = _colours("ce5c4a e29646 d6b05c 809e5c 549296 5c7ab0 926ca0 a87c5c")


def superellipse(x: float, y: float, rx: float, ry: float, power: float = 2.0) -> Points:
    """Superellipse at (x, y): ``power`` 2 is an ellipse, 5 nearly a box, below 1 a star with four points."""
    angle = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(np.sign(unit) * np.abs(unit) ** (2.0 / power) * (rx, ry) + (x, y))


def mirrored_pair(points: Points, colour: Colour) -> tuple[Shape, Shape]:
    """A shape and its mirror image."""
    return (points, colour), (points * (-1.0, 1.0), colour)


# The discriminative parts, each about one unit in radius and always the same: they are what a tag names.
CAT_FACE: tuple[Shape, ...] = (
    (superellipse(0, 0, 1.05, 0.88), INK),
    *mirrored_pair(np.array([(1, -0.1), (0.9, -1.25), (0.1, -0.75)]), INK),
    *mirrored_pair(np.array([(0.86, -0.45), (0.8, -0.98), (0.4, -0.72)]), PINK),
    *mirrored_pair(superellipse(0.45, -0.12, 0.3, 0.28), LIME),
    *mirrored_pair(superellipse(0.45, -0.12, 0.1, 0.22), INK),
    (superellipse(0, 0.45, 0.46, 0.28), CREAM),
    (superellipse(0, 0.3, 0.16, 0.11), PINK),
)
COW_FACE: tuple[Shape, ...] = (
    *mirrored_pair(np.array([(0.3, -0.7), (0.85, -1.25), (0.7, -0.5)]), (226, 190, 120)),
    *mirrored_pair(superellipse(0.95, -0.36, 0.36, 0.2), INK),
    (superellipse(0, -0.1, 0.78, 0.92, 2.6), WHITE),
    (superellipse(-0.38, -0.3, 0.36, 0.46), INK),
    (superellipse(-0.36, -0.25, 0.17, 0.17), WHITE),
    *mirrored_pair(superellipse(0.36, -0.25, 0.11, 0.13), INK),
    (superellipse(0, 0.55, 0.82, 0.45), PINK),
    *mirrored_pair(superellipse(0.32, 0.52, 0.12, 0.15), (176, 74, 92)),
)
DUCK_HEAD: tuple[Shape, ...] = (
    (np.array([(-0.3, -0.8), (-0.25, -1.25), (0, -0.95), (0.2, -1.2), (0.3, -0.8)]), YELLOW),
    (superellipse(0, 0, 0.98, 0.98), YELLOW),
    (np.array([(0.55, -0.3), (1.1, -0.16), (1.68, 0.12), (1.5, 0.32), (0.6, 0.3)]), ORANGE),
    (np.array([(0.6, 0.26), (1.4, 0.34), (1.2, 0.56), (0.62, 0.58)]), (206, 84, 24)),
    (superellipse(0.22, -0.26, 0.3, 0.3), WHITE),
    (superellipse(0.28, -0.26, 0.16, 0.16), INK),
)
WHEELS: tuple[Shape, ...] = (
    *mirrored_pair(superellipse(1.75, 0, 1, 1), INK),
    *mirrored_pair(superellipse(1.75, 0, 0.68, 0.68), CREAM),
    *mirrored_pair(superellipse(1.75, 0, 0.66, 0.66, 0.8), RED),
)
DIAL: tuple[Shape, ...] = (
    (superellipse(0, 0, 1.05, 1.05), RED),
    (superellipse(0, 0, 0.84, 0.84), WHITE),
    *((superellipse(0.66 * np.cos(h), 0.66 * np.sin(h), 0.07, 0.07), INK) for h in np.arange(12) * np.pi / 6),
    (np.array([(-0.1, 0.12), (0.1, 0.1), (0.06, -0.6), (-0.06, -0.6)]), INK),
    (np.array([(0, 0.12), (-0.08, -0.08), (0.42, -0.24), (0.44, -0.1)]), INK),
)


def wave(x: Field) -> Field:
    """Sine of period 1 in 0..1."""
    return np.asarray(0.5 + 0.5 * np.sin(2.0 * np.pi * x))


# What bodies are made of: position in the toy's frame -> share of the accent colour, 0..1.
LOOKS: dict[str, Callable[[Field, Field], Field]] = {
    "felt": lambda u, v: 0.3 * wave(3.0 * u + 0.4 * wave(2.0 * v)) * wave(3.0 * v),
    "plaid": lambda u, v: 0.5 * (wave(5.0 * u) > 0.6) + 0.5 * (wave(5.0 * v) > 0.6),
    "dots": lambda u, v: 1.0 * (wave(5.0 * u) + wave(5.0 * v) > 1.45),
    "stripes": lambda u, v: 1.0 * (wave(4.5 * u + 1.5 * v) > 0.5),
    "wood": lambda u, v: 0.8 * wave(6.0 * v + 0.5 * wave(1.3 * u) + 0.2 * wave(3.0 * u)) ** 2,
    "chevron": lambda u, v: 1.0 * (wave(5.0 * v + 0.8 * np.abs((4.0 * u) % 1.0 - 0.5)) > 0.55),
}


def _grass(draw: ImageDraw.ImageDraw, x: float, y: float, a: float, b: float, fill: Colour) -> None:
    draw.line((x, y, x + 14 * a - 7, y - 8 - 14 * b), fill, 3)


def _ripple(draw: ImageDraw.ImageDraw, x: float, y: float, a: float, b: float, fill: Colour) -> None:
    draw.arc((x, y, x + 32 + 90 * a, y + 8 + 14 * b), 200, 340, fill, 3)


def _pebble(draw: ImageDraw.ImageDraw, x: float, y: float, a: float, b: float, fill: Colour) -> None:
    draw.ellipse((x, y, x + 3 + 9 * a * a, y + 3 + 5 * a * b), fill)


def _board(draw: ImageDraw.ImageDraw, x: float, y: float, a: float, _: float, fill: Colour) -> None:
    draw.line((x, -y // 28 * -28, x + 200 * a, -y // 28 * -28), fill, 3)


class Ground(NamedTuple):
    """What the toys lie on."""

    share: float  # of all images
    marks: int
    mark: Callable[[ImageDraw.ImageDraw, float, float, float, float, Colour], None]  # at x, y; form a, b
    far: Colour  # of the strip at the top
    near: Colour
    accent: Colour  # of the brightest marks


GROUNDS = {
    "meadow": Ground(0.28, 190, _grass, *_colours("bedce8 70a44e b2d060")),
    "water": Ground(0.28, 46, _ripple, *_colours("ece0ce 549cbe e2f0f4")),
    "road": Ground(0.27, 200, _pebble, *_colours("d6c4b0 848286 c4c0be")),
    "room": Ground(0.17, 60, _board, *_colours("eedecc c4986c a87a52")),
}


class Kind(NamedTuple):
    """A class of toys."""

    name: str
    outline: tuple[float, float, float]  # of the body: aspect, power of its superellipse, widening downwards
    limbs: str  # names, each there or not, by chance
    looks: str  # names, one by chance; each is also another class's
    hues: tuple[int, ...]  # of TOY_COLOURS, which most bodies have one of; each is also another class's
    part: tuple[Shape, ...]
    anchor: tuple[float, float]  # of the part, in half axes of the body
    reach: float  # radius of the part, in mean half axes
    home: str = ""  # the ground it is mostly seen on


KINDS = (
    Kind("cat", (0.95, 2.3, 0.16), "feet tail", "felt stripes", (0, 1, 6), CAT_FACE, (0.1, -0.85), 0.44),
    Kind("cow", (1.35, 2.8, 0.0), "feet tail", "dots felt", (2, 3, 7), COW_FACE, (0.8, -0.5), 0.44, "meadow"),
    Kind("duck", (1.25, 2.1, 0.08), "tail knob", "stripes chevron", (1, 2, 4), DUCK_HEAD, (0.7, -0.95), 0.44, "water"),
    Kind("wagon", (1.45, 3.6, -0.06), "knob", "plaid dots", (0, 3, 5), WHEELS, (0.0, 0.95), 0.35, "road"),
    Kind("clock", (1.0, 3.0, 0.08), "feet knob", "wood chevron plaid", (4, 5, 6, 7), DIAL, (0.0, -0.05), 0.44),
)
LIMBS = {
    "feet": [superellipse(x, 0.98, 0.2, 0.24, 3.0) for x in (-0.5, 0.5)],
    "tail": [np.array([(-0.8, 0.1), (-1.1, -0.2), (-1.2, -0.6), (-1.35, -0.6), (-1.35, -0.1), (-0.9, 0.5)])],
    "knob": [superellipse(-0.15, -1.05, 0.22, 0.2, 2.5)],
}

CLASSES: tuple[str, ...] = tuple(kind.name for kind in KINDS)
"""Class names; ``CLASSES[k - 1]`` is class ``k`` of the masks, in which 0 is the background."""
