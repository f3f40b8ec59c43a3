"""A second opinion within refine: masks by another method, taken for the classes for which they are the better ones.

other/ID.png       the other mask of an image, as far as there is one
masks/other.json   the IoU of both over the masks to calibrate with, and the classes for which the other masks are taken

Only true masks can tell which are better. The measure that chooses thresholds without truth cannot: it holds the
masks that were refined along colours for better than others, on some data even than true ones.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ktse.data.dataset import TaggedImages
from ktse.data.masks import Calibration, SecondOpinion
from ktse.errors import RunError
from ktse.files import label_type, read_json, undecided, write_json, write_label_map
from ktse.refinement.calibration import LEAST_SHOWN, Calibrated
from ktse.run_folder import RunFolder, Scores
from ktse.runtime.console import say, track
from ktse.runtime.processes import my_share, rank, wait_for_all
from ktse.runtime.words import many
from ktse.stages.calibration import calibrated_threshold
from ktse.stages.other_masks import other_mask, other_path
from ktse.stages.refiners import Refine, Refined, as_stored


def with_second_opinion(
    run: RunFolder, data: TaggedImages, other: SecondOpinion, calibration: Calibration, own: Refine
) -> Refine:
    """Scores in which the classes of the other masks that are better come from these.

    Args:
        run: the run folder; gets the other masks, and masks/other.json unless it has that already.
        data: images and tags.
        other: the other masks.
        calibration: true masks, which choose for each class.
        own: the run's refined scores of an image.

    Raises:
        RunError: no image has both another mask and a true one.
    """
    kind = label_type(len(data.classes))
    there = [name for name in data.ids if name in other]
    mine = my_share(there)
    for name in track(mine, "read the other masks", total=len(mine)):
        if not other_path(run, name).is_file():
            write_label_map(other_path(run, name), other.read(name, kind))
    wait_for_all()
    path = run.path("masks", "other.json")
    if rank() == 0 and not path.is_file():
        write_json(path, {**_compared(run, data, calibration.only(there), own), "key": run.key("refine")})
    wait_for_all()
    better = np.isin(data.classes, taken_classes(run))

    def mixed(name: str) -> Refined:
        refined = own(name)
        return _taken(refined, other_mask(run, name), better[refined.keys]) if name in other else refined

    return mixed


def taken_classes(run: RunFolder) -> list[str]:
    """The classes whose masks are those of the other method."""
    path = run.own(run.path("masks", "other.json"))
    return list(read_json(path)["taken"]) if path.is_file() else []


def _compared(run: RunFolder, data: TaggedImages, calibration: Calibration, own: Refine) -> dict[str, object]:
    """The IoU of both, by class, and the classes for which the other masks are taken."""
    if not calibration:
        hint = "Draw true masks of some of the images that the other masks are of, and give them as --calibrate."
        raise RunError("no image has both another mask (refine.other) and a true one to choose by", hint=hint)

    def measured(replaced: bool) -> Calibrated:
        def scores(name: str) -> Scores:
            refined = own(name)
            better = np.full(len(refined.keys), replaced)
            return Scores(refined.keys, as_stored(_taken(refined, other_mask(run, name), better).scores))

        return calibrated_threshold(data, calibration, scores)

    mine, other = measured(False), measured(True)
    iou = {name: [_iou(one, label) for one in (mine, other)] for label, name in enumerate(data.classes, start=1)}
    shown = dict(zip(data.classes, mine.shown[1:], strict=True))
    taken = [name for name, (of_own, of_other) in iou.items() if shown[name] >= LEAST_SHOWN and of_other > of_own]
    words = [f"{name} (IoU {100 * iou[name][1]:.0f}% instead of {100 * iou[name][0]:.0f}%)" for name in taken]
    truth, few = many(len(calibration), "true mask"), [name for name in shown if shown[name] < LEAST_SHOWN]
    say(f"refine: on {truth}, the other masks are better for: {', '.join(words) or 'no class'}")
    if few:
        say(f"refine: fewer than {LEAST_SHOWN} of these show {', '.join(few)}: there the run's own masks stay")
    return {"iou": iou, "masks": len(calibration), "shown": shown, "taken": taken}


def _iou(calibrated: Calibrated, label: int) -> float:
    return calibrated.iou[label] or 0.0


def _taken(refined: Refined, label: np.ndarray, better: np.ndarray) -> Refined:
    """Scores in which some planes are those of a label map; where that is undecided, they stay.

    Args:
        refined: K planes of scores.
        label: (H, W), of the image's own size.
        better: (K,) bool, which planes to replace.
    """
    size = (refined.scores.shape[2], refined.scores.shape[1])

    def share(where: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(where.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
        return np.asarray(picture, dtype=np.float32) / 255

    scores, open_share = refined.scores.copy(), share(label == undecided(label))
    for plane in np.flatnonzero(better):
        scores[plane] = share(label == refined.keys[plane] + 1) + open_share * scores[plane]
    return refined._replace(scores=scores.clip(0, 1))
