"""``python -m ktse`` is the command ``ktse``."""

import os
import signal
import sys
from types import FrameType


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"ktse: interrupted\n")
    os._exit(130)


def main() -> int:
    """Run the command line.

    An interruption while it loads ends it at once: an error that is raised within the import of a compiled library
    comes out as one of that library.

    Returns:
        the exit code.
    """
    former = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGTERM, _end)
    if former is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from ktse.runtime.attended import end_with_starter

    end_with_starter()
    from ktse.cli import main as run

    try:
        signal.signal(signal.SIGINT, former)
        return run()
    except KeyboardInterrupt:
        _end(signal.SIGINT, None)
        return 130


if __name__ == "__main__":
    sys.exit(main())
