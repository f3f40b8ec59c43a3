"""The server of the page: its files, the pictures of a run, and the edits. Images are known by their id alone."""

from __future__ import annotations

import gzip
import secrets
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from ktse.data.edit_layer import Action, Entry, OutdatedError, OutsideError
from ktse.errors import KtseError
from ktse.reviewing.guard import Guard
from ktse.reviewing.learning import Learning
from ktse.reviewing.pictures import Kind, Layer, Pictures, packed, solving_size, state_of
from ktse.reviewing.scribbles import WAS, Solver

SMALL = 1 << 20
"""Bytes that any request may have; more only as far as the mask of its image needs them."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}

UNCHANGED = {"Cache-Control": "private, max-age=86400"}
"""For pictures whose address changes with their content."""

ALWAYS_NEW = {"Cache-Control": "no-store"}


class RefusedError(Exception):
    """A request that is not done.

    Args:
        status: of HTTP.
        message: why, for a person.
        more: what else the page should know.
    """

    def __init__(self, status: int, message: str, **more: Any) -> None:
        self.status, self.content = status, {"message": message, **more}
        super().__init__(message)


def make_app(pictures: Pictures, name: str, command: str) -> Guard:
    """The server of a run.

    Args:
        pictures: the run.
        name: what the page calls it.
        command: what learns from the corrections.
    """
    learning = Learning(shlex.split(command)[1:])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(learning.stop)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    _add_errors(app)
    _add_page(app)
    start = secrets.token_hex(4)
    _add_pictures(app, pictures, lambda: {"name": name, "command": command, "start": f"{start}-{learning.rounds}"})
    _add_learning(app, pictures, learning)
    _add_edits(app, pictures)
    _add_solver(app, pictures)
    return Guard(app)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return JSONResponse(error.content, error.status, ALWAYS_NEW)

    @app.exception_handler(KtseError)
    async def failed(_: Request, error: KtseError) -> Response:
        return JSONResponse({"message": str(error)}, 403 if isinstance(error, OutsideError) else 500, ALWAYS_NEW)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        message = f"This is a fault of ktse ({type(error).__name__}); the terminal says more. What is saved stays."
        return JSONResponse({"message": message}, 500, ALWAYS_NEW)

    @app.exception_handler(OutdatedError)
    async def outdated(_: Request, error: OutdatedError) -> Response:
        message = "Somebody has changed this mask in another tab or window."
        return JSONResponse({"message": message, "revision": error.revision}, 409, ALWAYS_NEW)


def _add_page(app: FastAPI) -> None:
    folder = files("ktse.reviewing") / "page"
    page = {item.name: item.read_bytes() for item in folder.iterdir() if item.name[item.name.rfind(".") :] in TYPES}

    @app.get("/")
    def index() -> Response:
        return Response(page["index.html"], media_type=TYPES[".html"], headers=ALWAYS_NEW)

    @app.get("/page/{name}")
    def part(name: str) -> Response:
        if name not in page:
            raise RefusedError(404, "There is no such file.")
        return Response(page[name], media_type=TYPES[name[name.rfind(".") :]], headers=ALWAYS_NEW)


def _add_pictures(app: FastAPI, pictures: Pictures, about: Callable[[], dict[str, str]]) -> None:
    @app.get("/api/run")
    def run() -> Response:
        return JSONResponse({**about(), **pictures.about_run()}, headers=ALWAYS_NEW)

    @app.get("/api/rest")
    def rest() -> Response:
        found = pictures.rest()
        return JSONResponse({"rest": found.sentence, "expected": found.each}, headers=ALWAYS_NEW)

    @app.get("/api/image")
    def image(id: str) -> Response:
        return JSONResponse(pictures.about(_number(pictures, id)), headers=ALWAYS_NEW)

    @app.get("/api/photo")
    def photo(id: str) -> Response:
        return Response(pictures.photo(_number(pictures, id)), media_type="image/jpeg", headers=UNCHANGED)

    @app.get("/api/thumbnail")
    def thumbnail(id: str, layer: Layer = "edit") -> Response:
        return Response(pictures.thumbnail(_number(pictures, id), layer), media_type="image/jpeg", headers=UNCHANGED)

    @app.get("/api/label")
    def label(id: str, layer: Layer) -> Response:
        found = pictures.label(_number(pictures, id), layer)
        return _packed(None if found is None else found.astype(found.dtype.newbyteorder("<")).tobytes())

    @app.get("/api/scores")
    def scores(id: str, kind: Kind) -> Response:
        return _packed(pictures.scores(_number(pictures, id), kind))


def _add_edits(app: FastAPI, pictures: Pictures) -> None:
    edits = pictures.edits

    @app.put("/api/label")
    async def save(
        request: Request, id: str, revision: int, action: Action = "draft", threshold: float | None = None
    ) -> Response:
        index = _number(pictures, id)
        size = await run_in_threadpool(pictures.size, index)
        body = await _body(request, size[0] * size[1] * np.dtype(pictures.kind).itemsize)
        label = _as_label(body, size, pictures)

        def store() -> Entry:
            mask, accepted = pictures.label(index, "mask"), edits.accepted(id)
            same = mask is not None and np.array_equal(mask, label)
            if action == "draft":
                undone = same if accepted is None else np.array_equal(accepted, label)
                return edits.drop_draft(id, revision) if undone else edits.save_draft(id, label, revision, threshold)
            _require_a_tag(pictures, pictures.tags(index), label, "Paint one, correct the tags, or reject it.")
            return edits.accept(id, label, revision, same=same, threshold=threshold)

        if action not in ("draft", "accept"):
            raise RefusedError(422, "A mask is a draft or accepted; to reject it, send no mask.")
        return JSONResponse(state_of(await run_in_threadpool(store)), headers=ALWAYS_NEW)

    @app.post("/api/tag")
    def tag(id: str, revision: int, label: int, there: bool) -> Response:
        index = _number(pictures, id)
        if not 1 <= label <= len(pictures.data.classes):
            raise RefusedError(422, f"{label} is no class.")
        tags = pictures.tags(index) | {label} if there else pictures.tags(index) - {label}
        accepted = edits.accepted(id)
        if accepted is not None:
            _require_a_tag(pictures, tags, accepted, "Take back that the mask was accepted (Q), or paint one.")
        entry = pictures.retag(index, tags, revision)
        said = {"tags": sorted(tags), "retagged": pictures.retagged(index)}
        return JSONResponse({**state_of(entry), **said}, headers=ALWAYS_NEW)

    @app.post("/api/state")
    def change(id: str, revision: int, action: Action) -> Response:
        _number(pictures, id)
        change: dict[str, Callable[[str, int], Entry]] = {"reject": edits.reject, "reopen": edits.reopen}
        if action not in change:
            raise RefusedError(422, "To keep or accept a mask, send the mask.")
        return JSONResponse(state_of(change[action](id, revision)), headers=ALWAYS_NEW)


def _add_learning(app: FastAPI, pictures: Pictures, learning: Learning) -> None:
    @app.get("/api/learn")
    def about() -> Response:
        return JSONResponse(learning.about(), headers=ALWAYS_NEW)

    @app.post("/api/learn")
    def start() -> Response:
        if not pictures.edits.decided() and not pictures.edits.retagged():
            raise RefusedError(422, "Accept or correct a mask or a tag first: there is nothing to learn from yet.")
        if not learning.start():
            raise RefusedError(409, "The model is learning already.")
        return JSONResponse(learning.about(), headers=ALWAYS_NEW)


def _add_solver(app: FastAPI, pictures: Pictures) -> None:
    solver = Solver(pictures)

    @app.post("/api/solve")
    async def solve(request: Request, id: str, threshold: Annotated[float, Query(ge=0, le=1)]) -> Response:
        index = _number(pictures, id)
        width, height = solving_size(await run_in_threadpool(pictures.size, index))
        body = await _body(request, width * height * 4)
        if len(body) != width * height * 4:
            raise RefusedError(422, f"{width} x {height} marks have {width * height * 4} bytes, not {len(body)}.")
        marks = np.frombuffer(body, "<u4").reshape(height, width)
        if ((marks >> 16) > WAS).any() or ((marks & 0xFFFF) > len(pictures.data.classes)).any():
            raise RefusedError(422, "A mark is of no known kind, or its label is no class.")
        return _packed(packed(*await run_in_threadpool(solver.solved, index, marks, threshold)))


def _number(pictures: Pictures, image_id: str) -> int:
    index = pictures.index(image_id)
    if index is None:
        raise RefusedError(404, "This run has no such image.")
    return index


async def _body(request: Request, wanted: int) -> bytes:
    """The body of a request, which is never read further than its image needs."""
    limit, body = max(SMALL, wanted), bytearray()
    length = request.headers.get("content-length") or "0"
    if not length.isdecimal():
        raise RefusedError(400, "The length of the request is no number.")
    if int(length[:20]) > limit:
        raise RefusedError(413, f"This needs {wanted} bytes.")
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise RefusedError(413, f"This needs {wanted} bytes.")
    return bytes(body)


def _as_label(body: bytes, size: tuple[int, int], pictures: Pictures) -> np.ndarray:
    """The label map in a request: one value per pixel, row by row."""
    kind = np.dtype(pictures.kind)
    if len(body) != size[0] * size[1] * kind.itemsize:
        text = f"The mask has {len(body)} bytes; {size[0]} x {size[1]} pixels have {size[0] * size[1] * kind.itemsize}."
        raise RefusedError(422, text)
    label = np.frombuffer(body, kind.newbyteorder("<")).astype(kind).reshape(size[::-1])
    values = np.unique(label)
    count = len(pictures.data.classes)
    if wrong := [int(value) for value in values if count < value < np.iinfo(kind).max]:
        raise RefusedError(422, f"The mask has labels that are no class: {', '.join(map(str, wrong[:5]))}.")
    return label


def _require_a_tag(pictures: Pictures, tags: set[int], label: np.ndarray, hint: str) -> None:
    """Make sure that a mask can be learned from: a tagged image shows one of its tags, or is undecided."""
    shown = {int(value) for value in np.unique(label)}
    if tags and not tags & shown and shown != {np.iinfo(label.dtype).max}:
        names = ", ".join(pictures.data.classes[tag - 1] for tag in sorted(tags))
        raise RefusedError(422, f"The mask shows none of the tags of this image ({names}). {hint}")


def _packed(content: bytes | None) -> Response:
    if content is None:
        raise RefusedError(404, "This run has no such picture.")
    headers = {**ALWAYS_NEW, "Content-Encoding": "gzip"}
    return Response(gzip.compress(content, 1), media_type="application/octet-stream", headers=headers)
