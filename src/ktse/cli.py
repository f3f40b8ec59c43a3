"""The command line: a thin shell over the verbs of ktse.api.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, Namespace

from ktse.checking.check import Checked
from ktse.errors import KtseError
from ktse.run_folder import RunFolder
from ktse.runtime.console import console, say
from ktse.runtime.limits import machine_limits
from ktse.runtime.log import Log, recording
from ktse.runtime.processes import rank
from ktse.runtime.words import many, visible
from ktse.terminal.checked import show_checked
from ktse.terminal.completion import completion_script, wants_completion
from ktse.terminal.fault import fault
from ktse.terminal.help import settings_help, wants_settings
from ktse.terminal.parser import VERBS, make_parser
from ktse.terminal.tables import MEASURED, show_accepted, show_evaluation, show_status, show_verified
from ktse.terminal.wrong import in_plain_words
from ktse.verbs.accept import Accepted
from ktse.verbs.status import Status
from ktse.verbs.verify import Verified

ALONE_AFTER = 2.0
"""Seconds after which an error is not one of all processes; torchrun looks every tenth of a second."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 if all went well, 1 for an error of the input or the machine, 2 for wrong arguments, 70 for a fault of ktse,
        130 if interrupted.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    # Threads that wait for each other by spinning make a busy machine several times slower. Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else ""
    try:
        return _main(words, name)
    except ArgumentError as error:
        verb = name if name in VERBS else "VERB"
        say(f"ktse{f' {name}' if name in VERBS else ''}: {in_plain_words(str(error), name)}")
        say(f"All arguments: ktse {verb} --help")
        return 2
    except KtseError as error:
        _complain(f"ktse {name}: {error}")
        return 1
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, or a place where nothing may be written; input that is damaged says more
        place = f"{error.filename}: " if error.filename else ""
        _complain(
            f"ktse {name}: {place}{error.strerror or error}\nWhat is finished stays. Check the place and the disk."
        )
        return 1
    except KeyboardInterrupt:
        say(f"ktse {name}: interrupted; the same command goes on from here")
        return 130
    except BaseException as error:
        if isinstance(error, SystemExit | GeneratorExit):
            raise
        _complain(f"ktse {name}: {fault(error, words)}")
        return 70


def _main(words: list[str], name: str) -> int:
    if not words:
        make_parser(only="none").print_help()
        return 0
    if wants_completion(words):
        print(completion_script(words))
        return 0
    if wants_settings(words):
        print(settings_help(words))
        return 0
    helped = "-h" in words or "--help" in words
    only = name if name in VERBS else "none" if helped else ""
    # Without defaults, only what the user gave overrides the recipe.
    given = make_parser(only=only, settings=not helped).parse_args(words, defaults=False)
    with recording(shlex.join(["ktse", *words])) as log, machine_limits("the number or the size of the images"):
        return _do(given.pop("subcommand"), given[name], log)


def _do(name: str, arguments: Namespace, log: Log) -> int:
    verb, values = VERBS[name], arguments.as_dict()
    as_json = values.pop("json", False)
    settings = {group: values.pop(group) for group in verb.settings if values.get(group) is not None}
    if verb.settings:
        values["settings"] = settings
    result = verb.function(**values)
    return 0 if rank() > 0 else _show(name, result, as_json, log)


def _show(name: str, result: Any, as_json: bool, log: Log) -> int:
    if isinstance(result, Checked):
        print(json.dumps(vars(result))) if as_json else show_checked(result)
        return 1 if result.errors else 0
    if isinstance(result, Verified):
        show_verified(result)
        return 0 if result.sound else 1
    if isinstance(result, Status):
        show_status(result)
    elif isinstance(result, Accepted):
        show_accepted(result)
    elif name in ("run", "demo") and isinstance(result, RunFolder):
        _show_run(result, log)
    elif isinstance(result, RunFolder | Path):
        _print_path(result.root if isinstance(result, RunFolder) else result)
    elif name == "evaluate":
        show_evaluation(result)
    elif isinstance(result, list):
        print(many(len(result), "prediction"))
    elif isinstance(result, int):
        print(many(result, "image"))
    return 0


def _show_run(run: RunFolder, log: Log) -> None:
    """What was measured, then the verdict on standard error, and the path of the report as the last line."""
    measured = run.evaluation()
    if any(stage in measured for stage in MEASURED):
        show_evaluation(measured)
    log.finish()
    _print_path(run.path("report.html"))


def _print_path(path: Path) -> None:
    """Print a path, of whatever bytes its name is made."""
    sys.stdout.write(os.fsencode(path).decode(sys.stdout.encoding or "utf-8", "backslashreplace") + "\n")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _complain(text: str) -> None:
    """Say an error; of the processes of one torchrun, one that is not the first says what it alone has met.

    What all have met ends the first one too, and torchrun then ends this one while it waits.
    """
    if rank() > 0:
        with suppress(KeyboardInterrupt):
            time.sleep(ALONE_AFTER)
            console.print(f"process {rank()}: {visible(text)}", soft_wrap=True)
    say(text)


if __name__ == "__main__":
    sys.exit(main())
