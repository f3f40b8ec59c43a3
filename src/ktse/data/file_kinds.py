"""What a file is that is no image of ours: by the ending of its name, and by how it begins."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from ktse.data.path_ends import ending

_VIDEO = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv")
_RAW = (".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")

KINDS = {
    **dict.fromkeys(_VIDEO, "a video"), **dict.fromkeys(_RAW, "a camera's raw file"),
    ".heic": "a HEIC photo", ".heif": "a HEIF photo", ".avif": "an AVIF photo", ".jxl": "a JPEG XL photo",
    ".svg": "a drawing of lines", ".svgz": "a drawing of lines", ".ai": "a drawing of lines",
    ".ps": "a drawing of lines", ".wmf": "a drawing of lines", ".emf": "a drawing of lines",
    ".pdf": "a document", ".docx": "a document", ".pptx": "a document", ".exr": "an OpenEXR image",
    ".dcm": "a DICOM image", ".nii": "a NIfTI volume", ".svs": "a whole slide image", ".ndpi": "a whole slide image",
    ".mrxs": "a whole slide image", ".h5": "an HDF5 file", ".hdf": "an HDF5 file", ".npy": "a NumPy array",
    ".npz": "a file of NumPy arrays", ".mat": "a MATLAB file", ".parquet": "a Parquet table",
    ".arrow": "an Arrow table", ".tfrecord": "a TFRecord file", ".zip": "an archive", ".tar": "an archive",
    ".gz": "an archive", ".7z": "an archive", ".rar": "an archive",
}  # fmt: skip
"""Endings of files that people take for images, or keep images in: leaving these out must be said."""

_STARTS = (
    (b"%PDF", "a PDF document"), (b"%!PS", "a drawing of lines (PostScript)"),
    (b"PK\x03\x04", "an archive (ZIP, Excel or Word)"), (b"\x1f\x8b", "an archive (gzip)"),
    (b"7z\xbc\xaf", "an archive (7z)"), (b"Rar!", "an archive (RAR)"), (b"PAR1", "a Parquet table"),
    (b"ARROW1", "an Arrow table"), (b"\x89HDF", "an HDF5 file"), (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3", "a database (SQLite)"), (b"version https://git-lfs", "a pointer of Git LFS: git lfs pull"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"), (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"), (b"II*\0", "a TIFF image"), (b"MM\0*", "a TIFF image"),
    (b"\x1aE\xdf\xa3", "a video"), (b"\0\0\1\xba", "a video"), (b"\0\0\1\xb3", "a video"),
)  # fmt: skip
_BRANDS = {
    b"heic": "a HEIC photo", b"heix": "a HEIC photo", b"mif1": "a HEIF photo", b"avif": "an AVIF photo",
    b"crx ": "a camera's raw file",
}  # fmt: skip
_WORDS = (
    (b"<svg", "a drawing of lines (SVG)"), (b"<!doctype html", "a web page"), (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
)  # fmt: skip


def kind_by_name(name: str) -> str:
    """What a file is, from the ending of its name; empty where that says nothing special."""
    return KINDS.get(ending(name), "")


def kind_by_start(start: bytes) -> str:
    """What a file is, from its first bytes; empty where these say nothing special.

    Args:
        start: 512 bytes or more, or the whole file.
    """
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a video")
    if start[:4] == b"RIFF":
        return {b"WEBP": "a WebP image", b"AVI ": "a video"}.get(start[8:12], "")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    words = next((kind for word, kind in _WORDS if text.startswith(word)), "")
    if words == "an XML file" and b"<svg" in text:
        return "a drawing of lines (SVG)"
    return words or next((kind for begin, kind in _STARTS if start.startswith(begin)), "")


def kind_of(source: Path | BytesIO) -> str:
    """What a file is, from its first bytes; empty where these say nothing special, or it cannot be read."""
    if isinstance(source, BytesIO):
        return kind_by_start(source.getvalue()[:512])
    try:
        with source.open("rb") as file:
            return kind_by_start(file.read(512))
    except OSError:
        return ""
