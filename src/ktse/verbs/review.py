"""Looking at the masks of a run and correcting them, on a page in the browser."""

from __future__ import annotations

import shlex
import socket
import webbrowser
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ktse.errors import RunError
from ktse.job import Job
from ktse.recipe import Recipe
from ktse.run_folder import RunFolder
from ktse.runtime.console import say
from ktse.runtime.lock import holder, locked
from ktse.verbs.moved import images_of, run_again

HOST = "127.0.0.1"

INSTALL = "pip install 'ktse[review]'"


def how_to_review(run: RunFolder) -> str:
    """The command that opens the page of a run, for the end of a message."""
    lacking = "" if not _missing() else f" (needs {INSTALL})"
    return f"ktse review {shlex.quote(str(run.root))}{lacking}"


def how_to_learn(run: RunFolder, recipe: Recipe) -> str:
    """The command that learns from the corrections of a run."""
    return f"{run_again(run, recipe)} --corrections {shlex.quote(str(run.path('corrections')))}"


def review_run(root: Path, port: int, browser: bool) -> Path:
    """Serve the page until it is interrupted; arguments as of ktse.review.

    Raises:
        RunError: it is no run folder, has no masks, or its page is open already; the extra is missing; the port is in
            use.
    """
    folder = RunFolder.existing(root)
    if missing := _missing():
        raise RunError(f"ktse review needs {' and '.join(missing)}", hint=INSTALL)
    job = Job(folder, folder.read_recipe())
    data = images_of(job)
    if not folder.path("masks", "summary.json").is_file():
        raise RunError(f"{root} has no masks yet", hint=run_again(folder, job.recipe))
    with closing(_listening(port)) as door:
        if (other := holder(folder.path(".review"))) is not None:
            raise RunError(f"the page of {root} is open already ({other})", hint="Use that page, or end it first.")
        with locked(folder.path(".review")):
            from ktse.reviewing.pictures import Pictures
            from ktse.reviewing.server import make_app

            app = make_app(Pictures(folder, data), str(root), how_to_learn(folder, job.recipe))
            address = f"http://{HOST}:{door.getsockname()[1]}/"
            say(f"review: {address} shows {root}; Ctrl+C ends it, and everything is saved")
            _serve(app, door, address if browser else "")
    return folder.path("corrections")


def _missing() -> list[str]:
    return [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]


def _listening(port: int) -> socket.socket:
    """A socket of this machine that nobody else on the network reaches.

    Raises:
        RunError: the port is in use, or may not be used.
    """
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((HOST, port))
        door.listen()
    except (OSError, OverflowError) as error:
        door.close()
        why = getattr(error, "strerror", None) or str(error)
        raise RunError(f"port {port} is not free: {why}", hint="Give another --port; 0 takes a free one.") from error
    return door


def _serve(app: object, door: socket.socket, address: str) -> None:
    import uvicorn

    settings: dict[str, Any] = {"log_level": "warning", "access_log": False, "timeout_graceful_shutdown": 3}
    server = uvicorn.Server(uvicorn.Config(app, **settings))  # type: ignore[arg-type]
    if address:
        webbrowser.open(address)
    with suppress(KeyboardInterrupt):  # some versions of uvicorn pass it on when they have answered every request
        server.run(sockets=[door])
    say("review: ended")
