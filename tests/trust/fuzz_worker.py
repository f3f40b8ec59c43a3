"""A process that gives hostile inputs to parsers, within limits of memory and time, and says how each ended.

    python tests/trust/fuzz_worker.py PARSER,PARSER FOLDER FIRST COUNT

Lines on standard output: the number of the input before it is read; then "read", "refused", or "fault" with the reason.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

SECONDS, BYTES = 5, 1 << 30
"""What one input may take; the bytes are beyond those that the process has before the first one."""


class HangError(BaseException):
    """An input took too long."""


def main(names: list[str], folder: Path, first: int, count: int) -> None:
    """Read inputs, each made from the number that it has, by the parsers in turn."""
    from fuzz_parsers import PARSERS

    from ktse.errors import KtseError

    def hang(*_: object) -> None:
        raise HangError

    chosen = [PARSERS[name](folder / name) for name in names]
    for parser in chosen:
        for content in parser.valid:
            try:
                parser.read(content)  # also loads what the parser needs, before memory is limited
            except KtseError:
                if parser.sure:
                    raise
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES,) * 2)
    signal.signal(signal.SIGALRM, hang)
    for number in range(first, first + count):
        name, parser = names[number % len(names)], chosen[number % len(names)]
        rng = random.Random(f"{name} {number}")
        content = rng.choice(parser.changes)(rng.choice(parser.valid), rng)
        print(number, flush=True)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            parser.read(content)
            outcome = "read"
        except KtseError as error:
            outcome = "refused"
            if "memory" in str(error) or len(str(error)) > 50_000:
                outcome = f"fault {error}"
        except HangError:
            outcome = f"fault it took {SECONDS} seconds"
        except BaseException:
            outcome = f"fault {traceback.format_exc()}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        print(repr(outcome), flush=True)


if __name__ == "__main__":
    main(sys.argv[1].split(","), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
