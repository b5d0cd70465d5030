"""The command `sdnet-bench`, also as `python -m robustbench_sdnet`; torchrun starts training this way."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; a Ctrl-C while it is imported ends it as one does later."""
    try:
        from .cli import main as run
    except KeyboardInterrupt:
        sys.exit("Error: Stopped.")
    run()


if __name__ == "__main__":
    main()
