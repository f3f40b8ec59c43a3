"""``python -m ktse`` is the command ``ktse``."""

import sys

from ktse.cli import main

if __name__ == "__main__":
    sys.exit(main())
