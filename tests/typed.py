"""What is typed into a shell: in this process, which is quick, or in one of its own where a test depends on that."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from ktse.cli import main

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
"""Launches two processes that share one run."""


class Done(NamedTuple):
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


def ktse(*arguments: object) -> Done:
    """Do `ktse ARGUMENTS` in this process."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as said:
        try:
            code = main([*map(str, arguments)])
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), said.getvalue())


def command(*arguments: object, launcher: tuple[str, ...] = ()) -> list[str]:
    """The command that does `ktse ARGUMENTS` in a process of its own; a launcher such as torchrun starts it."""
    return [sys.executable, *launcher, "-m", "ktse.cli", *map(str, arguments)]


def ktse_process(*arguments: object, launcher: tuple[str, ...] = (), cwd: Path | None = None) -> Done:
    """Do it there, and wait."""
    done = subprocess.run(
        command(*arguments, launcher=launcher), cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    return Done(done.returncode, done.stdout, done.stderr)
