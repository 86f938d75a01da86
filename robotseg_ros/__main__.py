"""`python -m robotseg_ros` is the `robotseg` command."""

import sys

from robotseg_ros.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
