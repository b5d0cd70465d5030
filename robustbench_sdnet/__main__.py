"""`python -m robustbench_sdnet`, the same as `sdnet-bench`; torchrun starts training this way."""

from .cli import main

if __name__ == "__main__":
    main()
