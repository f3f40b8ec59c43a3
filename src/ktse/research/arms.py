"""The paper's tables as arms: each a named set of changes to the same recipe."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktse.errors import RecipeError
from ktse.recipe import ClassifyRecipe, LossWeights, ObjectiveRecipe
from ktse.recipe.yaml_file import read_yaml

SIE, MGA = ("transfer",), ("global_alignment", "local_alignment")
SSR = ("background", "foreground", "inter_class")
TERMS_OF_ARMS = ("transfer", "background", "global_alignment")
"""One term of each element, which a recipe must have, as an arm takes the recipe's weights."""

STITCHED = ("stitched_background", "stitched_foreground")
"""SSR on the image that SIE stitches: part of both, so that it takes both to switch it on."""

OBJECTIVE, WEIGHTS = "classify.objective.", "classify.objective.weights."
ACOL = {f"{WEIGHTS}erased_classification": 1.0}
AEFT = {f"{WEIGHTS}attraction": 0.15, f"{WEIGHTS}repulsion": 0.15}
CUTMIX = {f"{OBJECTIVE}cutmix": 0.5}
STEP = 0.1
"""How far the sensitivity table goes from the recipe's scores and thresholds, either way."""


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: of its run folders.
        words: what tables call it.
        changes: dotted settings.
        paper: the paper's seed mIoU in percent (VOC 2012 train, WideResNet-38, oracle threshold), if it has one.
    """

    name: str
    words: str
    changes: dict[str, Any]
    paper: float | None = None


@dataclass(frozen=True)
class Table:
    """Arms that are compared.

    Attributes:
        name: by which it is chosen.
        title: its heading.
        reference: name of the arm that the others are compared with.
        arms: its rows.
    """

    name: str
    title: str
    reference: str
    arms: tuple[Arm, ...]

    @property
    def reference_arm(self) -> Arm:
        """The arm that the others are compared with."""
        return next(arm for arm in self.arms if arm.name == self.reference)


def _only(*terms: str) -> dict[str, Any]:
    """Every term of the objective off, but these and the classification loss."""
    names = [term.name for term in dataclasses.fields(LossWeights)]
    off = {f"{WEIGHTS}{name}": 0.0 for name in names if name not in ("classification", *terms)}
    return {**off, f"{OBJECTIVE}cutmix": 0.0}


PLAIN = Arm("plain", "plain CAM", _only(), 54.2)
KTSE = Arm("ktse", "SIE + SSR + MGA (the recipe as it is)", {}, 67.0)
WITH_SIE = Arm("sie", "SIE", _only(*SIE), 57.1)
WITH_SSR = Arm("ssr", "SSR", _only(*SSR), 57.4)
WITH_BOTH = Arm("sie-ssr", "SIE + SSR", _only(*SIE, *SSR, *STITCHED), 63.8)

ALIGNMENT = Table(
    "alignment",
    "MGA against ACoL and AEFT",
    "plain",
    (
        PLAIN,
        Arm("acol", "ACoL", {**_only(), **ACOL}),
        Arm("aeft", "AEFT", {**_only(), **AEFT}),
        Arm("mga-global", "MGA, global alone", _only("global_alignment"), 58.7),
        Arm("mga", "MGA, global and local", _only(*MGA), 60.2),
    ),
)
RIVALS = Table(
    "sie",
    "SIE against CutMix",
    "plain",
    (
        PLAIN,
        Arm("cutmix", "CutMix", {**_only(), **CUTMIX}),
        WITH_SIE,
        Arm("cutmix-ssr", "CutMix + SSR", {**_only(*SSR), **CUTMIX}),
        WITH_BOTH,
    ),
)
NAMES = ("elements", "alignment", "sie", "sensitivity")


def elements(recipe: ClassifyRecipe) -> Table:
    """The parts of KTSE, one after another, and a plain CAM that learns as in the warm-up throughout.

    That one tells apart what the terms do and what the smaller steps do that a recipe may take after the warm-up.
    """
    longer = Arm("plain-warmup", "plain CAM, all of it warm-up", {**PLAIN.changes, "classify.warmup": recipe.epochs})
    arms = (PLAIN, longer, WITH_SIE, WITH_SSR, WITH_BOTH, KTSE)
    return Table("elements", "Elements: what each part adds", "plain", arms)


def alignment(recipe: ClassifyRecipe) -> Table:
    """MGA against its rivals; AEFT compares gated pyramids, so that it has no part where there are none."""
    arms = tuple(arm for arm in ALIGNMENT.arms if recipe.pooling == "gpp" or arm.name != "aeft")
    return dataclasses.replace(ALIGNMENT, arms=arms)


def sensitivity(objective: ObjectiveRecipe) -> Table:
    """The recipe as it is, and one number or choice of it changed at a time.

    Background scores that are found in the CAMs are no numbers of the recipe, so that they have no rows.
    """
    low, high, inter = objective.background_low, objective.background_high, objective.weights.inter_class
    erase, pairs = objective.erase_above, objective.pairs
    varied: list[tuple[str, str, float | str, list[float] | list[str]]] = [
        ("background_high", "beta_h", high, [max(low, high - STEP), min(0.95, high + STEP)]),
        ("background_low", "beta_l", low, [max(low / 2, low - STEP), min(high, low + STEP)]),
        ("weights.inter_class", "lambda_inter", inter, [0.0, inter / 5, inter * 5]),
        ("erase_above", "erasing threshold", erase, [max(0.05, erase - STEP), min(0.95, erase + STEP)]),
        ("pairs", "share of the batch that is paired", pairs, [pairs / 4, pairs / 2, min(1.0, 2 * pairs)]),
        ("stitch", "stitching axis", objective.stitch, ["height", "random", "width"]),
        ("partner", "paired image", objective.partner, ["random", "same-tag"]),
    ]
    arms = []
    for key, words, base, values in varied if objective.background == "fixed" else varied[2:]:
        for value in dict.fromkeys(round(v, 6) if isinstance(v, float) else v for v in values):
            shown = f"{value:g}" if isinstance(value, float) else value
            if value != base:
                arms.append(Arm(f"{key.rpartition('.')[2]}={shown}", f"{words} {shown}", {f"{OBJECTIVE}{key}": value}))
    return Table("sensitivity", "Sensitivity: one change at a time", "ktse", (KTSE, PLAIN, *arms))


def own_table(path: Path) -> Table:
    """Arms of the user's own, compared with the recipe as it is: a YAML file with "name: {dotted setting: value}".

    Raises:
        RecipeError: the file holds something else.
    """
    content = read_yaml(path)
    hint = "Write lines such as 'soft steps: {classify.lr_after: 0.5}'."
    if not isinstance(content, dict) or not all(isinstance(changes, dict) for changes in content.values()):
        raise RecipeError(f"{path} does not hold arms of an ablation", hint=hint)
    arms = [Arm(re.sub(r"[^\w.=+-]+", "-", str(name)), str(name), changes) for name, changes in content.items()]
    known = [arm.name for arm in (*elements(ClassifyRecipe()).arms, *ALIGNMENT.arms, *RIVALS.arms)]
    taken = [arm.words for arm in arms if arm.name in known or [other.name for other in arms].count(arm.name) > 1]
    if taken:
        raise RecipeError(f"names of arms in {path} are taken: {', '.join(taken)}", hint="Give these other names.")
    return Table(path.stem, path.stem, "ktse", (KTSE, PLAIN, *arms))


def choose(tables: Iterable[str], recipe: ClassifyRecipe) -> list[Table]:
    """Tables by name, or by the path of a YAML file with arms of the user's own.

    Raises:
        RecipeError: there is no such table, or the recipe lacks what its arms compare.
    """
    known = {
        table.name: table for table in (elements(recipe), alignment(recipe), RIVALS, sensitivity(recipe.objective))
    }
    weights = dataclasses.asdict(recipe.objective.weights)
    chosen = []
    for name in dict.fromkeys(tables):
        if name in known and (absent := [term for term in TERMS_OF_ARMS if not weights[term]]):
            hint = "Give --recipe thorough or another that has them, or raise these weights."
            text = f"the recipe has the weight 0 for {', '.join(absent)}, so that arms with and without are the same"
            raise RecipeError(text, hint=hint)
        if name not in known and not Path(name).is_file():
            hint = f"Give some of {', '.join(NAMES)}, or the path of a YAML file."
            raise RecipeError(f"there is no table {name!r}", hint=hint)
        chosen.append(known[name] if name in known else own_table(Path(name)))
    if not chosen:
        raise RecipeError("no table was chosen", hint=f"Give some of {', '.join(NAMES)}.")
    return chosen


def all_arms(tables: Iterable[Table]) -> list[Arm]:
    """Every arm of these tables once, the plain CAM first: the others go on from its warm-up.

    Raises:
        RecipeError: two different arms have one name.
    """
    arms = {PLAIN.name: PLAIN}
    for arm in (arm for table in tables for arm in table.arms):
        if arms.setdefault(arm.name, arm) != arm:
            raise RecipeError(f"two arms are called {arm.name!r}", hint="Give one of them another name.")
    return list(arms.values())
