"""The command line: a thin shell over the verbs of ktse.api."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from rich.table import Column, Table

from ktse import __version__, api
from ktse.ablation.ablate import ablate
from ktse.ablation.phenomenon import phenomenon
from ktse.console import console, say
from ktse.data.check import Checked, to_json
from ktse.data.page import show_checked
from ktse.errors import KtseError
from ktse.processes import rank
from ktse.recipe import DataRecipe
from ktse.run_folder import RunFolder
from ktse.settings import add_recipe_arguments

SETTINGS = ("data", "classify", "seed", "affinity", "refine", "segment", "predict")
VERBS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "run": (api.run, SETTINGS),
    "demo": (api.demo, SETTINGS),
    "check": (api.check, ("data",)),
    "classify": (api.classify, ("classify",)),
    "seed": (api.seed, ("seed",)),
    "affinity": (api.affinity, ("affinity",)),
    "refine": (api.refine, ("refine",)),
    "segment": (api.segment, ("segment",)),
    "predict": (api.predict, ("predict",)),
    "evaluate": (api.evaluate, ()),
    "report": (api.report, ()),
    "export": (api.export, ()),
    "ablate": (ablate, ("data", "classify", "seed", "affinity", "refine")),
    "phenomenon": (phenomenon, ()),
    "import-weights": (api.import_weights, ()),
}
"""Each verb with the settings that its command line takes."""

OPTIONAL = {"predict": {"images": "an image, a folder of images or a video; without it, the run's own images"}}
"""Positional arguments that may be left out."""

FLAGS = {
    "run": {"skip_bad": "leave out images that cannot be read"},
    "check": {"skip_bad": "leave out images that cannot be read", "json": "print JSON"},
    "ablate": {
        "skip_bad": "leave out images that cannot be read",
        "pseudo_masks": "also refine, and measure the pseudo-masks",
    },
    "export": {"int8": "quantise the ONNX model to eight bits; says how many labels that keeps"},
}
"""Switches, which take no value."""


def make_parser() -> ArgumentParser:
    """The parser of all verbs; arguments and help come from the functions' signatures and docstrings."""
    parser = ArgumentParser(
        prog="ktse", description="Pixel masks from image-level tags.", version=__version__, exit_on_error=False
    )
    commands = parser.add_subcommands()
    for name, (verb, stages) in VERBS.items():
        summary = (verb.__doc__ or "").partition("\n")[0]
        command = ArgumentParser(description=summary, exit_on_error=False)
        command.add_function_arguments(
            verb, as_group=False, as_positional=True,
            skip={"settings", *OPTIONAL.get(name, {}), *FLAGS.get(name, {})},
        )  # fmt: skip
        for argument, text in OPTIONAL.get(name, {}).items():
            command.add_argument(argument, nargs="?", help=text)
        add_recipe_arguments(command, tuple(stage for stage in stages if stage != "data"))
        if "data" in stages:
            command.add_class_arguments(DataRecipe, "data", skip={"images", "tags", "skip_bad"})
        for argument, text in FLAGS.get(name, {}).items():
            command.add_argument(f"--{argument.replace('_', '-')}", action="store_true", help=text)
        commands.add_subcommand(name, command, help=summary)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 if all went well, 1 for an error of the input, 2 for wrong arguments, 130 if interrupted.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    parser = make_parser()
    # Without defaults, only what the user gave overrides the recipe.
    try:
        given = parser.parse_args(argv, defaults=False)
    except ArgumentError as error:
        say(f"ktse: {_plain(str(error))}\nAll arguments: ktse --help, ktse VERB --help")
        return 2
    name = given.pop("subcommand")
    arguments: Namespace = given[name]
    try:
        return _do(name, arguments)
    except KtseError as error:
        say(f"ktse {name}: {error}")
        return 1
    except OSError as error:  # a full disk, or a place where nothing may be written; input that is damaged says more
        place = f"{error.filename}: " if error.filename else ""
        say(f"ktse {name}: {place}{error.strerror or error}\nWhat is finished stays. Check the place and the disk.")
        return 1
    except KeyboardInterrupt:
        say(f"ktse {name}: interrupted; the same command goes on from here")
        return 130


def _plain(text: str) -> str:
    """What the parser says, in one line and without the names of Python's types."""
    text = " ".join(text.split())
    for pattern, words in (
        (r'Parser key "([^"]+)": ', r"--\1: "),
        (r"<class 'int'>", "whole number"), (r"<class 'float'>", "number"), (r"<class 'bool'>", "true or false"),
        (r"<class 'tuple'>", "list, such as '[a, b]'"), (r"<class 'str'>", "text"),
        (r"a typing\.Literal\[(.*?)\]", r"one of \1"), (r"typing\.Literal\[(.*?)\]", r"\1"),
        (r"Does not validate against any of the Union subtypes Subtypes: \[(.*?)\] Errors: .*Given value: (.*)",
         r"Expected one of \1. Got value: \2"),
    ):  # fmt: skip
        text = re.sub(pattern, words, text)
    return text


def _do(name: str, arguments: Namespace) -> int:
    verb, stages = VERBS[name]
    values = arguments.as_dict()
    as_json = values.pop("json", False)
    settings = {stage: values.pop(stage) for stage in stages if values.get(stage) is not None}
    if stages:
        values["settings"] = settings
    result = verb(**values)
    if rank() > 0:
        return 0
    if isinstance(result, Checked):
        print(json.dumps(to_json(result), ensure_ascii=False)) if as_json else show_checked(result)
        return 1 if result.errors else 0
    if name in ("run", "demo") and isinstance(result, RunFolder):
        print(result.path("report.html"))
    elif isinstance(result, RunFolder | Path):
        print(result.root if isinstance(result, RunFolder) else result)
    elif name == "evaluate":
        _show_evaluation(result)
    elif isinstance(result, list):
        print(f"{len(result)} predictions")
    return 0


def _show_evaluation(result: dict[str, Any]) -> None:
    table = Table(Column("stage", no_wrap=True), "mIoU %", "threshold", "oracle mIoU %", "at", "images", "tags used")
    for stage in ("seed", "mask", "fused", "prediction"):
        if stage in result:
            entry, oracle = result[stage], result[stage]["oracle"] or {}
            cells = (entry["miou"], entry["threshold"], oracle.get("miou"), oracle.get("threshold"), entry["images"])
            texts = ["-" if cell is None else f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells]
            table.add_row(stage, *texts, "yes" if entry["tags_used"] else "no")
    console.print(table if table.row_count else "nothing is measured against true masks: only the tags are measured")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
