"""Finds the files that come with the package, config/ and demo/, however it was installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).absolute().parent


def config_dir() -> Path:
    """The folder that holds models/, cameras/ and fastdds.xml; FileNotFoundError where it is missing."""
    return _resource_dir("config")


def demo_dir() -> Path:
    """The folder that holds the demo's recorded clips; FileNotFoundError where it is not installed (pip)."""
    return _resource_dir("demo")


def _resource_dir(name: str) -> Path:
    candidates = _candidates(name)
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = ", ".join(str(folder) for folder in candidates)
    raise FileNotFoundError(
        f"the folder {name}/ of robotseg_ros was not found; looked at {looked}; "
        "build the package with colcon, or run it from its source tree"
    )


def _candidates(name: str) -> list[Path]:
    """Places of a folder, most specific first; relative to this file, so that nothing need be sourced."""
    folders = []
    if name == "config":  # beside the modules after `pip install`; robotseg_ros/demo holds modules
        folders.append(_PACKAGE / name)
    if (_PACKAGE.parent / "package.xml").is_file():  # the source tree
        folders.append(_PACKAGE.parent / name)
    # PREFIX/lib/python3.x/site-packages/robotseg_ros, or local/lib/... on Ubuntu
    folders += [parent / "share" / "robotseg_ros" / name for parent in _PACKAGE.parents[:5]]
    return folders
