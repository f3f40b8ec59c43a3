"""Names of images and classes that a format cannot hold, all found before anything is written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
"""Control characters and line breaks; most of them are forbidden in XML, and none of them survives in a list."""

Test = Callable[[str], str]
"""From a name to why it cannot be held, or nothing."""


def unfit(form: str, files: Sequence[str], ids: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Every name that a format cannot hold, each with the reason.

    Args:
        form: coco, voc, yolo, cvat or labelstudio.
        files: the images, relative to their folder.
        ids: names of their masks.
        classes: names of the classes 1..C.
    """
    images = {"voc": _all(_text, _control, _edges, _comment), "cvat": _all(_text, _control), "yolo": _nothing}
    labels = {
        "voc": _all(_text, _control, _edges, _comment, _colon, _taken),
        "coco": _text,
        "yolo": _text,
        "cvat": _all(_text, _control, _edges),
        "labelstudio": _all(_text, _control, _edges),
    }
    found = _problems("image", ids if form == "voc" else files, images.get(form, _text))
    found += _problems("class", classes, labels[form])
    if form == "yolo":
        found += _clashes(files)
    return found


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


def _problems(what: str, names: Iterable[str], test: Test) -> list[str]:
    return [f"{what} {name!r}: {reason}" for name in names if (reason := test(name))]


def _all(*tests: Test) -> Test:
    return lambda name: next((reason for test in tests if (reason := test(name))), "")


def _nothing(_: str) -> str:
    return ""


def _text(name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "is not valid text (UTF-8)"
    return ""


def _control(name: str) -> str:
    return "holds a control character or a line break" if CONTROL.search(name) else ""


def _edges(name: str) -> str:
    return "begins or ends with a blank, which readers take off" if name != name.strip() else ""


def _comment(name: str) -> str:
    return "begins with #, which readers take for a remark" if name.startswith("#") else ""


def _colon(name: str) -> str:
    return "holds a colon, which separates fields" if ":" in name else ""


def _taken(name: str) -> str:
    return "is the name of a label of the format itself" if name in ("background", VOID) else ""


VOID = "undecided"
"""Label of the pixels of value 255 in VOC's label map."""
