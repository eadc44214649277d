"""`python -m mcnet_cli`, which torchrun needs: the same program as `mcnet`."""

import sys

from mcnet_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
