"""Print what the development environment needs, read from setup.cfg; with --hash, a name for it.

The environment is named by everything that decides what is in it: the Python that builds it, the
requirements, the extras `test` and `dev`, and constraints.txt. Standard library only: it runs before
anything is installed.
"""

import configparser
import hashlib
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("test", "dev")


def requirements() -> list[str]:
    """Every requirement of the package and of the extras, one a line, sorted."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    blocks = [config["options"]["install_requires"]]
    blocks += [config["options.extras_require"][extra] for extra in EXTRAS]
    return sorted({line.strip() for block in blocks for line in block.splitlines() if line.strip()})


def environment_hash() -> str:
    """Sixteen hexadecimal digits: equal for two environments with the same contents."""
    parts = [platform.python_version(), platform.machine(), *requirements()]
    parts.append((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.stdout.write((environment_hash() if "--hash" in sys.argv else "\n".join(requirements())) + "\n")
