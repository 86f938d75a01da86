"""Prints what setup.cfg asks pip for, so that the names stand in one file: `requirements.py [EXTRA ...]`."""

import sys
from configparser import ConfigParser
from pathlib import Path

# Installed on its own, after torch and without its dependencies: its isolated build would fetch another torch
# with all of CUDA.
BUILT_LAST = {"sam2"}


def requirements(extras: list[str]) -> list[str]:
    """The requirements of the package and of its named extras, without those that are built last."""
    config = ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg")
    texts = [
        config["options"]["install_requires"],
        *(config["options.extras_require"][extra] for extra in extras),
    ]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return [line for line in lines if line.split()[0] not in BUILT_LAST]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
