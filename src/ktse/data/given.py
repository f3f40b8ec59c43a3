"""What the user gave: images and tags, and masks for different uses."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ktse.data.dataset import TaggedImages
from ktse.data.edit_layer import only_tags, with_corrected_tags
from ktse.data.masks import (
    Calibration,
    Corrections,
    SecondOpinion,
    Truth,
    open_calibration,
    open_corrections,
    open_second_opinion,
    open_truth,
)
from ktse.data.open import open_data
from ktse.data.remote import Copies, refuse_url
from ktse.recipe import Recipe

Masks = TypeVar("Masks", Truth, Calibration, Corrections, SecondOpinion)


def _shown(masks: Masks) -> Masks:
    """The same masks, after a message about what was found."""
    masks.say()
    return masks


class Input:
    """What the user gave: images and tags, and masks for different uses; each is opened when first needed.

    Args:
        recipe: where everything is.
        kept: folder for copies of images at a URL; None: none are kept.
    """

    def __init__(self, recipe: Recipe, kept: Path | None = None) -> None:
        self.recipe, self._copies = recipe, None if kept is None else Copies(kept, recipe.compute.cache)

    @cached_property
    def images(self) -> TaggedImages:
        """Images and tags as they were given, or as a person has corrected the tags on the review page.

        Raises:
            DataError: they cannot be used.
        """
        data, folder = open_data(self.recipe.data, self._copies), self.recipe.segment.corrections
        return with_corrected_tags(data, Path(folder)) if folder else data

    @cached_property
    def fingerprint(self) -> str:
        """Hash of images and tags, of the files no more than name, size and time of change."""
        return self.images.fingerprint()

    @cached_property
    def truth(self) -> Truth | None:
        """True masks for measuring, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        masks = self.recipe.truth.masks
        refuse_url(masks, "true masks")
        return _shown(open_truth(Path(masks), self.images)) if masks else None

    @cached_property
    def calibration(self) -> Calibration | None:
        """True masks that choose the background threshold, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        folder = self.recipe.refine.calibrate
        refuse_url(folder, "masks to calibrate with")
        return _shown(open_calibration(Path(folder), self.images)) if folder else None

    @cached_property
    def other(self) -> SecondOpinion | None:
        """Masks by another method, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        folder = self.recipe.refine.other
        refuse_url(folder, "other masks")
        return _shown(open_second_opinion(Path(folder), self.images)) if folder else None

    @cached_property
    def corrections(self) -> Corrections:
        """Masks that a person has corrected, to learn from, if the user gave some.

        Raises:
            DataError: they cannot be used.
        """
        folder = self.recipe.segment.corrections
        refuse_url(folder, "corrected masks")
        if not folder or only_tags(Path(folder)):
            return Corrections()
        return _shown(open_corrections(Path(folder), self.images))
