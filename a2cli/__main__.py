"""`python -m a2cli` is `a2`."""

import sys

from a2cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
