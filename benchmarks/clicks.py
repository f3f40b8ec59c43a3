"""How many strokes a mask needs: a simulated person corrects masks of a run with scribbles, or with a brush alone.

    OMP_NUM_THREADS=1 python benchmarks/clicks.py RUN [RUN ...] --masks 50

The person sees the true mask. Each stroke goes where the mask is wrong most broadly: a straight line through the middle
of the widest wrong area. The brush has the best width for it, and paints that line. The scribble is thin, and the mask
is solved again as in `ktse review`; of scribble and brush, the third person takes whichever helps more.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ktse.job import Job
from ktse.reviewing.pictures import Pictures, solving_size
from ktse.reviewing.scribbles import IS, Solver
from ktse.run_folder import RunFolder

THIN = 1.7
"""Radius of a scribble in pixels, as the page has it for a photo that fills a window of 900 pixels."""


def depth(inside: np.ndarray) -> np.ndarray:
    """How many times each pixel of an area outlives that the area loses its rim."""
    deep, left = np.zeros(inside.shape, int), np.pad(inside, 1)
    while left.any():
        deep += left[1:-1, 1:-1]
        middle = left[1:-1, 1:-1] & left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:]
        left = np.pad(middle, 1)
    return deep


def line(wrong: np.ndarray) -> tuple[np.ndarray, int]:
    """Points (N, 2) of the longest straight line through the deepest place, and the depth that all of it has."""
    deep = depth(wrong)
    start = np.unravel_index(deep.argmax(), deep.shape)
    least = max(1, deep[start] // 2)
    best = [start]
    for angle in np.arange(16) * np.pi / 16:
        points = [start]
        for sign in (1, -1):
            for step in range(1, max(wrong.shape)):
                y = round(start[0] + sign * step * np.sin(angle))
                x = round(start[1] + sign * step * np.cos(angle))
                if not (0 <= y < deep.shape[0] and 0 <= x < deep.shape[1]) or deep[y, x] < least:
                    break
                points.append((y, x))
        best = max(best, points, key=len)
    found = np.array(best)
    return found, int(deep[tuple(found.T)].min())


def drawn(size: tuple[int, ...], points: np.ndarray, radius: float) -> np.ndarray:
    """(H, W) bool, what a round brush paints along points."""
    y, x = np.mgrid[: size[0], : size[1]]
    painted = np.zeros(size, bool)
    reach = int(radius) + 1
    for top, left in points:
        box = np.s_[max(0, top - reach) : top + reach + 1, max(0, left - reach) : left + reach + 1]
        painted[box] |= (y[box] - top) ** 2 + (x[box] - left) ** 2 <= radius**2
    return painted


def quality(mask: np.ndarray, true: np.ndarray) -> float:
    """Mean IoU of the classes that the true mask shows."""
    pairs = [(mask == label, true == label) for label in np.unique(true) if label]
    return float(np.mean([(one & other).sum() / (one | other).sum() for one, other in pairs]))


def solved(solver: Solver, index: int, said: np.ndarray, known: np.ndarray, threshold: float) -> np.ndarray:
    """The mask that the page would show: solved at its size, enlarged, and what is said on top."""
    height, width = said.shape
    size = solving_size((width, height))
    marks = np.zeros(size[::-1], np.uint32)
    rows, columns = np.nonzero(known)
    marks[rows * size[1] // height, columns * size[0] // width] = IS << 16 | said[rows, columns]
    labels, shares = solver.solved(index, marks, threshold)
    large = [np.asarray(Image.fromarray(share).resize((width, height), Image.Resampling.BILINEAR)) for share in shares]
    return np.where(known, said, np.array(labels)[np.argmax(large, axis=0)])


class Person:
    """Somebody who corrects a mask until it is good enough.

    Args:
        solver: of the run.
        index: number of the image.
        mask: the mask of the run, (H, W).
        true: the true one.
        threshold: that the mask was cut with.
    """

    def __init__(self, solver: Solver, index: int, mask: np.ndarray, true: np.ndarray, threshold: float) -> None:
        self.solver, self.index, self.threshold = solver, index, threshold
        self.mask, self.true = mask.astype(np.uint32), true.astype(np.uint32)
        self.said, self.known = np.zeros_like(self.true), np.zeros(true.shape, bool)
        self.seconds: list[float] = []

    def stroke(self, tool: str) -> None:
        """Draw one stroke where the mask is wrong most broadly."""
        wrong = [(label, (self.true == label) & (self.mask != label)) for label in np.unique(self.true)]
        label, _, (points, deep) = max(
            ((label, area, line(area)) for label, area in wrong if area.any()), key=lambda one: one[2][1]
        )
        wide = max(0.5, deep - 0.5)
        results = []
        if tool != "brush":
            results.append(self.with_scribble(label, drawn(self.true.shape, points, min(THIN, wide))))
        if tool != "scribble":
            results.append(self.with_brush(label, drawn(self.true.shape, points, wide)))
        self.mask, self.said, self.known = max(results, key=lambda one: quality(one[0], self.true))

    def with_brush(self, label: int, painted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mask, what is said and where, after a stroke of the brush."""
        return (
            np.where(painted, label, self.mask),
            np.where(painted, label, self.said).astype(np.uint32),
            self.known | painted,
        )

    def with_scribble(self, label: int, painted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same after a scribble."""
        _, said, known = self.with_brush(label, painted)
        start = time.process_time()
        mask = solved(self.solver, self.index, said, known, self.threshold)
        self.seconds.append(time.process_time() - start)
        return mask, said, known


def qualities(person: Person, tool: str, good: float, most: int) -> list[float]:
    """IoU before, and after each stroke, until it is good or the person gives up."""
    found = [quality(person.mask, person.true)]
    while found[-1] < good and len(found) <= most:
        person.stroke(tool)
        found.append(quality(person.mask, person.true))
    return found


def strokes(found: list[float], good: float, most: int) -> int:
    """The number of strokes to a quality; those of a person who gave up count in full."""
    return next((count for count, value in enumerate(found) if value >= good), most)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--masks", type=int, default=50)
    parser.add_argument("--most", type=int, default=20, help="strokes after which the person gives up")
    parser.add_argument("--good", type=float, nargs="+", default=[0.8, 0.9], help="IoU that is good enough")
    parser.add_argument("--tools", nargs="+", default=["brush", "scribble", "either"])
    arguments = parser.parse_args()
    most = arguments.most
    columns = ["run", "masks", "IoU before", "tool"]
    columns += [f"strokes to {good:g} (not reached)" for good in arguments.good] + ["IoU after 5", "seconds"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for root in arguments.runs:
        run = RunFolder.existing(root)
        job = Job(run, run.read_recipe())
        truth = job.given.truth
        if truth is None:
            raise SystemExit(f"{root} was made without true masks")
        solver, threshold = Solver(Pictures(run, job.data)), float(run.summary("masks")["threshold"])
        shown = [index for index, name in enumerate(job.data.ids) if name in truth and (truth.read(name) > 0).any()]
        chosen = np.random.default_rng(0).permutation(shown)[: arguments.masks]
        for tool in arguments.tools:
            found, seconds = [], []
            for index in chosen:
                name = job.data.ids[index]
                person = Person(solver, int(index), run.mask(name), truth.read(name), threshold)
                found.append(qualities(person, tool, max(arguments.good), most))
                seconds += person.seconds
            cells = [root.name, str(len(chosen)), f"{np.mean([one[0] for one in found]):.2f}", tool]
            for good in arguments.good:
                missed = sum(max(one) < good for one in found)
                cells.append(f"{np.mean([strokes(one, good, most) for one in found]):.1f} ({missed})")
            cells.append(f"{np.mean([one[min(5, len(one) - 1)] for one in found]):.2f}")
            cells.append(f"{np.median(seconds):.2f}, at most {max(seconds):.2f}" if seconds else "")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
