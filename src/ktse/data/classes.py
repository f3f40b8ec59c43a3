"""The classes of a data set: published lists, the user's list, and tags that mean that nothing is there."""

from __future__ import annotations

from pathlib import Path

from ktse.data.text import clean, examples, is_utf8, short, skeleton, words_of
from ktse.data.text_files import read_lines
from ktse.errors import DataError
from ktse.runtime.words import many

VOC_CLASSES = words_of(
    """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep
    sofa train tvmonitor"""
)
"""The 20 classes of PASCAL VOC in their order; class k has the value k in its masks."""

_COCO = """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,,backpack,umbrella,,,handbag,tie,suitcase,
frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,,
wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,
potted plant,bed,,dining table,,,toilet,,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,
refrigerator,,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"""
COCO_CLASSES = {number: name.strip() for number, name in enumerate(_COCO.split(","), start=1) if name.strip()}
"""The 80 categories of COCO by their published numbers 1..90 (91 counts the eleven that were never released)."""

SAME_AS_VOC = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}
"""COCO's names for classes of VOC, where they differ."""

NO_TAG = words_of(
    """free normal none background nodefect nodefects defectfree good ok okay healthy negative nothing nofinding
    nofindings empty clean notag nolabel unlabeled unlabelled nan null n/a na nondefective intact"""
)
"""Names, without blanks and in lower case, that usually mean that none of the classes is there."""

LONGEST = 200
"""Characters of a class name."""

NAMED = 20
"""Tags that a message lists."""

Tags = list[tuple[str, ...]]
"""The tags of each image."""


def choose_classes(
    classes: tuple[str, ...], tags: Tags, source: Path, wanted: str, no_tag: str
) -> tuple[tuple[str, ...], Tags, list[str]]:
    """The classes of a data set, and the tags of its images without all that are none of these.

    Args:
        classes: the classes in the order of the data set; empty: the tags that occur, sorted.
        tags: tags of each image.
        source: what named the tags, for messages.
        wanted: "voc", or a file with one class a line, the only ones that are used; empty: all.
        no_tag: names, joined by commas, that mean no tag.

    Returns:
        the classes, the tags, and notes.

    Raises:
        DataError: no image has a tag, or a list of names does not fit.
    """
    notes: list[str] = []
    none = {skeleton(name): name for name in map(clean, no_tag.split(",")) if name}
    if no_tag:
        tags, notes = _without_no_tag(tags, none, source)
    distinct = dict.fromkeys(tags)
    used = dict.fromkeys(tag for row in distinct for tag in row)
    if not used:
        raise DataError(f"no image in {source} has a tag", hint="At least one tag is needed to learn from.")
    if wanted:
        classes = VOC_CLASSES if wanted == "voc" else read_classes(Path(wanted))
    classes = tuple(name for name in classes if skeleton(name) not in none)
    if not wanted:
        classes = classes or tuple(sorted(used))
        _require_lines(classes, source)
        return classes, tags, notes
    known = set(classes)
    renamed = {tag: SAME_AS_VOC.get(tag, tag) if wanted == "voc" else tag for tag in used}
    meaning = {row: tuple(renamed[tag] for tag in row if renamed[tag] in known) for row in distinct}
    left = sorted(tag for tag in used if renamed[tag] not in known)
    if len(left) == len(used):
        where = f"tags found: {', '.join(left[:NAMED])}"
        raise DataError(f"none of the classes in {wanted} occurs in {source}", where=where, hint="Check data.classes.")
    if left:
        text = f"{many(len(left), 'tag is', 'tags are')} not among the classes in {wanted} and left out"
        notes.append(f"{text}: {examples(left, NAMED)}")
    return classes, [meaning[row] for row in tags], notes


def _require_lines(classes: tuple[str, ...], source: Path) -> None:
    """Raise a DataError if a class name is not one line of text that a file can hold."""

    def fits(name: str) -> bool:
        return (
            len(name) <= LONGEST
            and is_utf8(name)
            and len(name.splitlines()) == 1
            and not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in name)
        )

    if bad := [short(name) for name in classes if not fits(name)]:
        hint = f"A class name is one line of at most {LONGEST} letters without control characters. "
        hint += "If several tags stand in a cell, "
        hint += "--data.separator is what separates these (without it: line breaks)."
        raise DataError(f"{source} has tags that cannot be class names", where=bad, hint=hint)


def _without_no_tag(tags: Tags, names: dict[str, str], source: Path) -> tuple[Tags, list[str]]:
    """Take names, given by how they look, out of the tags."""
    distinct = dict.fromkeys(tags)
    used = sorted({tag for row in distinct for tag in row})
    gone = [tag for tag in used if skeleton(tag) in names]
    if not gone:
        text = f"data.no_tag is {short(', '.join(names.values()))}, but no image in {source} has such a tag"
        where = f"tags found: {', '.join(map(short, used[:NAMED])) or 'none'}"
        raise DataError(text, where=where, hint="Give names of tags, joined by commas, or leave it out.")
    left = {row: tuple(tag for tag in row if tag not in gone) for row in distinct}
    alone = sum(bool(row) and not left[row] for row in tags)
    beside = sum(left[row] != row and bool(left[row]) for row in tags)
    unknown = [name for look, name in names.items() if look not in map(skeleton, gone)]
    notes = [f"{', '.join(map(short, gone))} means no tag: {many(alone, 'image has', 'images have')} no other"]
    if beside:
        notes.append(f"{many(beside, 'image has', 'images have')} other tags besides: these count")
    if unknown:
        notes.append(f"no image has the tag {', '.join(map(short, unknown))} of data.no_tag")
    return [left[row] for row in tags], notes


def sounds_like_no_tag(name: str) -> bool:
    """Whether a class is called as if it meant that nothing is there."""
    return skeleton(name) in NO_TAG


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names from a file with one a line; line k is class k.

    Raises:
        DataError: it cannot be read, is empty, or lists a name twice.
    """
    names = tuple(line for _, line in read_lines(path, "the class list"))
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled or not names:
        where = [f"{name!r} is listed twice" for name in doubled] or "it is empty"
        raise DataError(f"the class list {path} cannot be used", where=where, hint="List each class once, one a line.")
    return names
