"""A verdict on a run: a level for its masks, its model and each class, and the signs behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ktse.run_folder import RunFolder

Level = Literal["good", "look", "do-not-use"]

LEVELS: tuple[Level, ...] = get_args(Level)
"""From best to worst."""

WORDS: dict[Level, str] = {
    "good": "good: nothing was found that speaks against these results",
    "look": "look at it: some results may be wrong",
    "do-not-use": "do not use: these results are probably wrong",
}
UNMEASURED = "good, as far as one can tell without true masks: nothing was found that speaks against these results"
MASKS_BESIDE_A_WORSE_MODEL: dict[Level, tuple[str, str]] = {
    "good": ("the masks are good", "nothing was found that speaks against the masks"),
    "look": ("look at the masks", "some masks may be wrong"),
}
MODEL_WORSE_THAN_ITS_MASKS: dict[Level, tuple[str, str]] = {
    "look": ("look at the model", "some predictions may be wrong"),
    "do-not-use": ("do not use the model", "predictions are probably wrong"),
}


@dataclass(frozen=True)
class Sign:
    """One observation that speaks against a result.

    Attributes:
        level: "look" or "do-not-use".
        about: the class that the sign concerns; empty: every class.
        text: what was seen, one sentence.
        next: what to do about it; a command where there is one.
        concerns: "masks": the masks, and the model that learned from them; "model": the segmentation model alone.
    """

    level: Level
    about: str
    text: str
    next: str
    concerns: Literal["masks", "model"] = "masks"


@dataclass(frozen=True)
class Verdict:
    """Whether the results of a run should be used.

    Attributes:
        run: the worst level of what the run has made.
        masks: level of the masks.
        model: level of the segmentation model, never better than that of the masks.
        classes: level of each class, by name: its masks, and what the model makes of this class.
        signs: the worst first; none for a good run.
        measured: whether true masks have a say in it.
    """

    run: Level
    masks: Level
    model: Level
    classes: dict[str, Level]
    signs: tuple[Sign, ...]
    measured: bool = True

    @classmethod
    def of(cls, signs: Iterable[Sign], classes: Iterable[str], *, measured: bool = True) -> Verdict:
        """The verdict that follows from signs.

        Masks and model have the worst level of the signs that concern all classes. A class has the worst level of its
        own signs and of those on all masks. If a class is worse than the masks or the model, these are at least "look".
        If half of the classes should not be used, neither should these.
        """
        order, names = tuple(sorted(signs, key=lambda sign: -LEVELS.index(sign.level))), list(classes)
        on_masks = [sign for sign in order if sign.concerns == "masks"]
        masks = _with_classes(_worst_of(on_masks, ""), _class_levels(on_masks, names))
        levels = _class_levels(order, names)
        model = _with_classes(_worst([masks, _worst_of(order, "")]), levels)
        return cls(model, masks, model, levels, order, measured)

    @property
    def of_masks(self) -> Verdict:
        """The verdict on the masks alone, without the signs that concern only the model."""
        signs = [sign for sign in self.signs if sign.concerns == "masks"]
        return self if len(signs) == len(self.signs) else Verdict.of(signs, self.classes, measured=self.measured)

    @property
    def model_classes(self) -> dict[str, Level]:
        """Level of each class in the predictions of the model."""
        whole = _worst_of(self.signs, "")
        return {name: _worst([whole, level]) for name, level in self.classes.items()}

    @property
    def sentence(self) -> str:
        """The verdict in words, without a full stop: what to do, a colon, and why."""
        if self.run == "good" and not self.measured:
            return UNMEASURED
        if self.masks == self.model:
            return WORDS[self.run]
        model, masks = MODEL_WORSE_THAN_ITS_MASKS[self.model], MASKS_BESIDE_A_WORSE_MODEL[self.masks]
        return f"{model[0]}; {masks[0]}: {model[1]}, {'but' if self.masks == 'good' else 'and'} {masks[1]}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, as in evaluation.json."""
        signs = [
            {{"about": "class"}.get(key, key): value for key, value in asdict(sign).items()} for sign in self.signs
        ]
        return {**asdict(self), "signs": signs}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Verdict:
        """The verdict in evaluation.json; earlier versions of ktse wrote one level for masks and model together."""
        run = content["run"]
        signs = (
            Sign(one["level"], one["class"], one["text"], one["next"], one.get("concerns", "masks"))
            for one in content["signs"]
        )
        masks, model = content.get("masks", run), content.get("model", run)
        return cls(run, masks, model, dict(content["classes"]), tuple(signs), content.get("measured", True))


def read_verdict(run: RunFolder) -> Verdict | None:
    """The verdict on a run; None if it has not been evaluated yet."""
    content = run.evaluation()
    return Verdict.from_json(content["verdict"]) if "verdict" in content else None


def _worst(levels: Iterable[Level]) -> Level:
    return max(levels, key=LEVELS.index, default="good")


def _worst_of(signs: Iterable[Sign], about: str) -> Level:
    return _worst(sign.level for sign in signs if sign.about == about)


def _class_levels(signs: Sequence[Sign], classes: Iterable[str]) -> dict[str, Level]:
    on_all_masks = _worst_of((sign for sign in signs if sign.concerns == "masks"), "")
    return {name: _worst([on_all_masks, _worst_of(signs, name)]) for name in classes}


def _with_classes(whole: Level, classes: Mapping[str, Level]) -> Level:
    levels = list(classes.values())
    if levels and 2 * levels.count("do-not-use") >= len(levels):
        return "do-not-use"
    return whole if set(levels) <= {"good"} else _worst([whole, "look"])
