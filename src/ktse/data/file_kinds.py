"""What a file is: by the ending of its name, and by how its content begins."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image

from ktse.data.text import words_of

_BY_ENDING = {
    "a video": ".avi .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .webm .wmv",
    "a camera's raw file": ".raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .pef .srw",
    "a HEIC photo": ".heic",
    "a HEIF photo": ".heif",
    "an AVIF photo": ".avif",
    "a JPEG XL photo": ".jxl",
    "a drawing of lines": ".svg .svgz .ai .ps .wmf .emf",
    "a document": ".pdf .docx .pptx",
    "an OpenEXR image": ".exr",
    "a DICOM image": ".dcm",
    "a NIfTI volume": ".nii",
    "a whole slide image": ".svs .ndpi .mrxs",
    "an HDF5 file": ".h5 .hdf",
    "a NumPy array": ".npy",
    "a file of NumPy arrays": ".npz",
    "a MATLAB file": ".mat",
    "a Parquet table": ".parquet",
    "an Arrow table": ".arrow",
    "a TFRecord file": ".tfrecord",
    "an archive": ".zip .tar .gz .7z .rar",
}
KINDS = {name: kind for kind, names in _BY_ENDING.items() for name in names.split()}
"""Endings of files that people take for images, or keep images in: a note names those that are left out."""

_BY_START = {
    b"%PDF": "a PDF document",
    b"%!PS": "a drawing of lines (PostScript)",
    b"PK\x03\x04": "an archive (ZIP, Excel or Word)",
    b"\x1f\x8b": "an archive (gzip)",
    b"7z\xbc\xaf": "an archive (7z)",
    b"Rar!": "an archive (RAR)",
    b"PAR1": "a Parquet table",
    b"ARROW1": "an Arrow table",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"SQLite format 3": "a database (SQLite)",
    b"version https://git-lfs": "a pointer of Git LFS: git lfs pull",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    **dict.fromkeys((b"II*\0", b"MM\0*"), "a TIFF image"),
    **dict.fromkeys((b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3"), "a video"),
}
_BRANDS = {b"heic": ".heic", b"heix": ".heic", b"mif1": ".heif", b"avif": ".avif", b"crx ": ".cr3"}
_MARKUP = {
    b"<svg": "a drawing of lines (SVG)",
    **dict.fromkeys((b"<!doctype html", b"<html"), "a web page"),
    b"<?xml": "an XML file",
}

NO_PHOTOS = words_of(".mpg .mpeg .h5 .hdf .bufr .grib .emf .wmf .ps .iim")
"""Endings that Pillow knows, although it cannot decode such files, or only with other programs."""


def ending(name: str) -> str:
    """The ending of a file name, lower-case, with its dot; empty if there is none."""
    stem, dot, last = name.rpartition("/")[2].rpartition(".")
    return dot + last.lower() if stem and last else ""


@cache
def endings() -> frozenset[str]:
    """The endings, lower-case, of the files that Pillow reads. A .mpo file is a JPEG with more frames."""
    known = Image.registered_extensions()
    return frozenset(name for name, kind in known.items() if kind in Image.OPEN and name not in NO_PHOTOS) | {".mpo"}


def kind_by_start(start: bytes) -> str:
    """What a file is, from its first bytes; empty where these say nothing special.

    Args:
        start: 512 bytes or more, or the whole file.
    """
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        return KINDS[_BRANDS.get(start[8:12], ".mp4")]
    if start[:4] == b"RIFF":
        return {b"WEBP": "a WebP image", b"AVI ": "a video"}.get(start[8:12], "")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<?xml") and b"<svg" in text:
        return _MARKUP[b"<svg"]
    found = (
        kind
        for table, head in ((_MARKUP, text), (_BY_START, start))
        for begin, kind in table.items()
        if head.startswith(begin)
    )
    return next(found, "")


def kind_of(source: Path | BytesIO) -> str:
    """What a file is, from its first bytes; empty where these say nothing special, or it cannot be read."""
    if isinstance(source, BytesIO):
        return kind_by_start(source.getvalue()[:512])
    try:
        with source.open("rb") as file:
            return kind_by_start(file.read(512))
    except OSError:
        return ""
