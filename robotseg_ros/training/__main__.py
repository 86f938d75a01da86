"""`python -m robotseg_ros.training CONFIG.yaml`: the command `robotseg train` without the rest of the command line."""

import sys

from ..cli.main import main

sys.exit(main(["train", *sys.argv[1:]]))
