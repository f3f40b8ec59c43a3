"""What the expected IoU of masks that nobody has checked is worth, and whether `ktse accept` keeps its promise.

    OMP_NUM_THREADS=1 python benchmarks/expected.py RUN --masks DIR [--times 200] [--risk 0.1] [--iou 0.5 0.3]

Each time, 80 % of the run's images are drawn, 20, 40 or 80 of them are checked, and their true masks say how good the
masks of the run are. From that, the mean IoU of the others is estimated and compared with the true one. Value k of a
true mask is line k of the run's classes.

the page's order   what the page shows first, every second image by chance
by chance          the images that the page draws by chance, without the others
least confident    the least confident masks, as if these were a sample
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Truth, open_truth
from ktse.job import Job
from ktse.quality.expected import LEAST, acceptable, by_chance, needed
from ktse.quality.metrics import Confusion
from ktse.quality.rest import Rest, rest_from
from ktse.reviewing.order import by_gain, by_need
from ktse.run_folder import RunFolder

COUNTS, SHARE, BOOTSTRAPS = (20, 40, 80), 0.8, 200


def true_iou(run: RunFolder, data: TaggedImages, truth: Truth) -> dict[str, float]:
    """IoU of the masks of tagged images, by image id."""
    found = {}
    for name, tags in zip(data.ids, data.tags, strict=True):
        if tags.any() and name in truth.paths:
            confusion = Confusion(len(data.classes))
            confusion.add(truth.read(name), run.mask(name))
            found[name] = confusion.objects
    return found


def isotonic(confidence: np.ndarray, iou: np.ndarray, others: np.ndarray) -> float:
    """Mean of the others by isotonic regression (pool adjacent violators), level beyond its ends."""
    order = np.argsort(confidence, kind="stable")
    blocks: list[tuple[float, int]] = []
    for value in iou[order]:
        blocks.append((float(value), 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (one, few), (two, more) = blocks.pop(), blocks.pop()
            blocks.append(((one * few + two * more) / (few + more), few + more))
    fitted = np.concatenate([np.full(count, value) for value, count in blocks])
    return float(np.interp(others, confidence[order], fitted).mean())


def isotonic_interval(confidence: np.ndarray, iou: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> tuple:
    """Its 90 % interval from a bootstrap over the checked masks."""
    draws = (rng.integers(0, len(iou), len(iou)) for _ in range(BOOTSTRAPS))
    return tuple(np.quantile([isotonic(confidence[draw], iou[draw], others) for draw in draws], (0.05, 0.95)))


def teaching(data: TaggedImages, order: list[int]) -> list[str]:
    """Of an order, the images that the page draws from."""
    return [data.ids[index] for index in order if data.tags[index].any() and not data.validation[index]]


def by_page(data: TaggedImages, confidence: dict[str, float]) -> list[str]:
    """What the page shows first."""
    return teaching(data, by_gain(data, confidence, ()))


def only_by_chance(data: TaggedImages, _: dict[str, float]) -> list[str]:
    """What the page draws by chance."""
    names = teaching(data, list(range(len(data))))
    return [names[index] for index in by_chance(names)]


def least_confident(data: TaggedImages, confidence: dict[str, float]) -> list[str]:
    """The least confident masks."""
    return teaching(data, by_need(data, confidence))


Order = Callable[[TaggedImages, dict[str, float]], list[str]]
ORDERS: dict[str, Order] = {
    "the page's order": by_page,
    "by chance": only_by_chance,
    "least confident": least_confident,
}


def drawn(data: TaggedImages, known: dict[str, float], time: int) -> tuple[TaggedImages, dict[str, float]]:
    """Some of the images, with names of their own, so that another order is one of chance; and their IoU."""
    rng = np.random.default_rng(time)
    there = [index for index, name in enumerate(data.ids) if name in known]
    part = data.take(np.sort(rng.permutation(there)[: round(SHARE * len(there))]))
    iou = {f"{time}/{name}": known[name] for name in part.ids}
    return dataclasses.replace(part, ids=tuple(iou)), iou


def row(title: str, found: list[list[float]]) -> None:
    """Print the mean of each column."""
    columns = [[value for value in column if not np.isnan(value)] for column in zip(*found, strict=True)]
    cells = [f"{np.mean(column):.2f}" if column else "-" for column in columns]
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print two tables: the interval, and what is accepted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--risk", type=float, default=0.1)
    parser.add_argument("--iou", type=float, nargs="+", default=[0.5, 0.3])
    arguments = parser.parse_args()
    run = RunFolder.existing(arguments.run)
    data = Job(run, run.read_recipe(edited=True)).data
    stored = run.confidence("masks")
    known = true_iou(run, data, open_truth(arguments.masks, data))
    values = np.array(list(known.values()))
    print(f"{run.root.name}: {len(known)} masks, mean IoU {values.mean():.2f}\n")
    print("| checked | counted | interval holds | its width | error | isotonic holds | its width | known |")
    print(f"|{'---|' * 8}", flush=True)
    accepted: dict[tuple[float, str], list[list[float]]] = {}
    for title, order in ORDERS.items():
        for count in COUNTS:
            found = []
            for time in range(arguments.times):
                part, iou = drawn(data, known, time)
                confidence = {name: stored[name.partition("/")[2]] for name in part.ids}
                judged = {name: iou[name] for name in order(part, confidence)[:count]}
                rest = rest_from(part, confidence, judged)
                if order is least_confident:
                    pairs = np.array([(confidence[name], value) for name, value in judged.items()])
                    rest = Rest(count, pairs[:, 0], pairs[:, 1], pairs[:0], rest.others)
                others = np.array(list(rest.others.values()))
                true = np.array([iou[name] for name in rest.others])
                found.append([float(len(rest.iou)), *compared(rest, others, true, time)])
                for least in arguments.iou if order is not least_confident else ():
                    cells = promised(rest, others, true, arguments.risk, least)
                    accepted.setdefault((least, f"{title}, {count}"), []).append(cells)
            row(f"{title}, {count}", found)
    for least in arguments.iou:
        print(
            f"\nktse accept --risk {arguments.risk:g} --iou {least:g}; {(values < least).mean():.2f} of all are bad\n"
        )
        print(f"| checked | enough | some accepted | how many | of these bad | more than promised |\n|{'---|' * 6}")
        for (of, title), rows in accepted.items():
            if of == least:
                row(title, rows)


def promised(rest: Rest, others: np.ndarray, true: np.ndarray, risk: float, least: float) -> list[float]:
    """Whether enough were checked and some accepted, how many, the share of bad ones, whether that is too large."""
    limit = acceptable(rest.confidence, rest.iou < least, risk)
    wrong = (true < least)[others >= limit]
    enough = float(len(rest.iou) >= max(LEAST, needed(risk)))
    if not len(wrong):
        return [enough, 0.0, np.nan, np.nan, 0.0]
    return [enough, 1.0, len(wrong), wrong.mean(), float(wrong.mean() > risk)]


def compared(rest: Rest, others: np.ndarray, true: np.ndarray, time: int) -> list[float]:
    """Whether both intervals hold the true mean, their widths, the error of the line, and whether it is known."""
    if rest.mean is None:
        return [np.nan] * 5 + [0.0]
    interval, mean = rest.mean, true.mean()
    low, high = isotonic_interval(rest.confidence, rest.iou, others, np.random.default_rng(time))
    return [
        float(interval.low <= mean <= interval.high),
        interval.high - interval.low,
        abs(interval.middle - mean),
        float(low <= mean <= high),
        high - low,
        1.0,
    ]


if __name__ == "__main__":
    main()
