"""Names of images and classes that a format cannot hold, all found before anything is written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
"""Control characters and line breaks; most of them are forbidden in XML, and none of them survives in a list."""

VOID = "undecided"
"""Label of the pixels of value 255 in VOC's label map."""


def _is_no_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


TESTS: dict[str, tuple[Callable[[str], object], str]] = {
    "text": (_is_no_text, "is not valid text (UTF-8)"),
    "control": (CONTROL.search, "holds a control character or a line break"),
    "edges": (lambda name: name != name.strip(), "begins or ends with a blank, which readers take off"),
    "comment": (lambda name: name.startswith("#"), "begins with #, which readers take for a remark"),
    "colon": (lambda name: ":" in name, "holds a colon, which separates fields"),
    "taken": (lambda name: name in ("background", VOID), "is the name of a label of the format itself"),
}
"""What a format may not be able to hold, and why."""

IMAGES = {
    "voc": "text control edges comment",
    "cvat": "text control",
    "yolo": "",
    "coco": "text",
    "labelstudio": "text",
}
CLASSES = {
    "voc": "text control edges comment colon taken",
    "coco": "text",
    "yolo": "text",
    "cvat": "text control edges",
    "labelstudio": "text control edges",
}
"""The TESTS of the names of images and of classes, by format."""


def unfit(form: str, files: Sequence[str], ids: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Every name that a format cannot hold, each with the reason.

    Args:
        form: coco, voc, yolo, cvat or labelstudio.
        files: the images, relative to their folder.
        ids: names of their masks.
        classes: names of the classes 1..C.
    """
    named = [("image", name, IMAGES[form]) for name in (ids if form == "voc" else files)]
    named += [("class", name, CLASSES[form]) for name in classes]
    found = []
    for what, name, tests in named:
        reasons = (TESTS[test][1] for test in tests.split() if TESTS[test][0](name))
        found += [f"{what} {name!r}: {reason}" for reason in islice(reasons, 1)]
    return found + (_clashes(files) if form == "yolo" else [])


def yolo_label(file: str) -> str:
    """Where readers of YOLO look for the labels of images/FILE, relative to what holds images/.

    They replace the last folder called images by labels, and what follows the last dot by txt.
    """
    before, after = f"/images/{file}".rsplit("/images/", 1)
    return f"{before}/labels/{after}".rsplit(".", 1)[0].lstrip("/") + ".txt"


def _clashes(files: Sequence[str]) -> list[str]:
    places = defaultdict(list)
    for file in files:
        places[yolo_label(file)].append(file)
    return [
        f"images {' and '.join(map(repr, sorted(same)))}: readers look for the labels of both in {place}"
        for place, same in places.items()
        if len(same) > 1
    ]
