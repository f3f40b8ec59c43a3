"""The verbs of the command line, and the parser of their arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonargparse import ArgumentParser

from ktse import api
from ktse._version import __version__
from ktse.recipe import DataRecipe, Recipe
from ktse.recipe.load import add_recipe_arguments, flat, to_dict
from ktse.research.ablate import ablate
from ktse.research.phenomenon import phenomenon
from ktse.terminal.layout import Layout

SKIP_BAD = {"skip_bad": "leave out images that cannot be read"}
GIVEN = ("data.images", "data.tags", "data.skip_bad")
"""Settings that are arguments of the verb."""

COMPLETION = "--completion"

TRAINING = ("compute", "classify", "seed", "affinity", "refine", "segment", "predict")


@dataclass(frozen=True)
class Verb:
    """A verb as the shell sees it; everything else follows from the signature and the docstring of its function.

    Attributes:
        function: what it does.
        settings: groups of the recipe that its command line takes.
        flags: switches, which take no value, with their help.
        many: positional arguments of which there may be any number, with their help.
        files: arguments that are a file or a text in the shell, whatever Python may give, with their help.
        numbers: arguments that are a whole number and have an earlier name too, this name, and their help.
    """

    function: Callable[..., Any]
    settings: tuple[str, ...] = ()
    flags: dict[str, str] = field(default_factory=dict)
    many: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").partition("\n")[0]


TAGS = {"tags": "file of tags (CSV, TSV, JSON, list, COCO); without it, the folder must say what is in its images"}

VERBS: dict[str, Verb] = {
    "run": Verb(api.run, ("data", *TRAINING), SKIP_BAD, files=TAGS),
    "join": Verb(api.join),
    "demo": Verb(api.demo, ("data", *TRAINING)),
    "check": Verb(api.check, ("data",), {**SKIP_BAD, "json": "print JSON"}, files=TAGS),
    "status": Verb(api.status),
    "verify": Verb(api.verify, flags={"repair": "remove what is wrong, so that the next ktse run makes it again"}),
    "classify": Verb(api.classify, ("compute", "classify")),
    "seed": Verb(api.seed, ("compute", "seed")),
    "affinity": Verb(api.affinity, ("compute", "affinity")),
    "refine": Verb(api.refine, ("compute", "refine")),
    "segment": Verb(api.segment, ("compute", "segment")),
    "adapt": Verb(api.adapt, ("compute", "segment")),
    "predict": Verb(
        api.predict,
        ("compute", "predict"),
        many={"images": "images, or one folder or video; without them, the run's own images"},
        files={"tags": "file of the tags of the images in a folder: no image gets a class that it is not tagged with"},
    ),
    "evaluate": Verb(api.evaluate),
    "report": Verb(api.report),
    "review": Verb(api.review, flags={"no_browser": "print the address, and open no browser"}),
    "accept": Verb(api.accept),
    "export": Verb(
        api.export, flags={"int8": "quantise the ONNX model to eight bits; says how many labels that keeps"}
    ),
    "import": Verb(
        api.import_masks,
        flags={
            "replace": "replace corrections that are there already",
            "unchanged": "accept masks that are the same as those of the run, too",
        },
    ),
    "ablate": Verb(
        ablate,
        ("data", "compute", "classify", "seed", "affinity", "refine"),
        {**SKIP_BAD, "pseudo_masks": "also refine, and measure the pseudo-masks"},
        numbers={"random_seeds": ("seeds", "number of random seeds, from compute.random_seed on (default: 3)")},
    ),
    "phenomenon": Verb(phenomenon),
    "import-weights": Verb(api.import_weights),
}


def make_parser(*, only: str = "", settings: bool = True) -> ArgumentParser:
    """The parser of the command line.

    Args:
        only: the one verb that is made in full, as making all of them takes a while; empty: all.
        settings: whether it knows the settings of the recipe; help is short without them.
    """
    parser = ArgumentParser(
        prog="ktse",
        usage="ktse VERB [arguments]",
        description="Pixel masks from image-level tags, and a segmentation model from those masks.",
        epilog="The arguments of a verb: ktse VERB --help. A first try without any data: ktse demo.",
        version=__version__,
        exit_on_error=False,
        formatter_class=Layout,
    )
    parser.add_argument(
        COMPLETION, metavar="SHELL", help='print the completion for a shell, such as eval "$(ktse --completion bash)"'
    )
    commands = parser.add_subcommands(required=False, title="verbs", metavar="VERB", description=None)
    for name, verb in VERBS.items():
        command = ArgumentParser(
            description=verb.summary, usage=_usage(name, verb), exit_on_error=False, formatter_class=Layout
        )
        if not only or name == only:
            _add_arguments(command, verb)
            if settings:
                _add_settings(command, verb.settings)
        commands.add_subcommand(name, command, help=verb.summary)
    return parser


def settings_parser(name: str, groups: Sequence[str], defaults: Recipe, source: str) -> ArgumentParser:
    """A parser whose help shows settings of a verb.

    Args:
        name: the verb.
        groups: groups of settings.
        defaults: the recipe whose values are shown.
        source: what that recipe is called.
    """
    parser = ArgumentParser(
        prog="ktse",
        usage=f"ktse {name} ... --{groups[0]}.SETTING VALUE",
        formatter_class=Layout,
        description=f"Settings that change the recipe. The defaults are those of {source}.",
    )
    _add_settings(parser, groups)
    for group in groups:
        values = flat(to_dict(getattr(defaults, group)), group)
        parser.set_defaults({key: value for key, value in values.items() if key not in GIVEN})
    return parser


def required_arguments(verb: Verb) -> list[tuple[str, str]]:
    """Arguments that must be given: name in Python, and as people type it, such as IMAGES and --out."""
    found = []
    for parameter in inspect.signature(verb.function).parameters.values():
        if parameter.default is inspect.Parameter.empty:
            option = parameter.kind is inspect.Parameter.KEYWORD_ONLY
            typed = parameter.name.replace("_", "-")
            found.append((parameter.name, f"--{typed} {typed.upper()}" if option else typed.upper()))
    return found


def _usage(name: str, verb: Verb) -> str:
    many = [f"[{argument.upper()} ...]" for argument in verb.many]
    words = [typed for _, typed in required_arguments(verb)]
    return " ".join(["ktse", name, *words[:1], *many, *words[1:], "[options]"])


def _add_arguments(command: ArgumentParser, verb: Verb) -> None:
    for argument, text in verb.files.items():
        command.add_argument(f"--{argument}", help=text)
    command.add_function_arguments(
        verb.function,
        as_group=False,
        as_positional=True,
        skip={"settings", *verb.many, *verb.files, *verb.flags, *verb.numbers},
    )
    for argument, (earlier, text) in verb.numbers.items():
        command.add_argument(f"--{argument.replace('_', '-')}", f"--{earlier}", type=int, help=text)
    for argument, text in verb.many.items():
        command.add_argument(argument, nargs="*", help=text)
    for argument, text in verb.flags.items():
        command.add_argument(f"--{argument.replace('_', '-')}", action="store_true", help=text)
    if verb.settings:
        command.add_argument(
            "--help-settings",
            metavar="GROUP",
            help=f"show the settings of a group, with their defaults: {', '.join(verb.settings)} or all",
        )


def _add_settings(command: ArgumentParser, groups: Sequence[str]) -> None:
    add_recipe_arguments(command, tuple(group for group in groups if group != "data"))
    if "data" in groups:
        command.add_class_arguments(DataRecipe, "data", skip={key.removeprefix("data.") for key in GIVEN})
