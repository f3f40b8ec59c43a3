"""Print the oldest release that pyproject.toml allows of each dependency, as constraints for pip."""

from __future__ import annotations

import re
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib  # type: ignore[no-redef]

NAMED = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)")
TOOLS = ("mypy", "ruff", "pytest", "pytest-xdist")

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
lowest = {found[1]: found[2] for one in wanted if (found := NAMED.match(one)) and found[1] not in TOOLS}
print("\n".join(f"{name}=={version}" for name, version in sorted(lowest.items())))
