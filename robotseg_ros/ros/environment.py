"""Environment of ROS processes that we start: DDS profile for large images, domain, prefix of the wheels."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..resources import config_dir

# Fast DDS 2, which these distributions have, reads the second name; Fast DDS 3 warns about it.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
FAST_DDS_2 = ("humble", "iron", "jazzy")
MAX_DOMAIN = 101  # above, ports collide with Linux's ephemeral range


def dds_profile() -> Path:
    """The Fast DDS profile that makes large images arrive; the file says why."""
    return config_dir() / "fastdds.xml"


def profile_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables that set our DDS profile; empty when the user has chosen a profile already."""
    known = os.environ if environment is None else environment
    if any(known.get(name) for name in PROFILE_VARIABLES):
        return {}
    names = PROFILE_VARIABLES if known.get("ROS_DISTRO") in FAST_DDS_2 else PROFILE_VARIABLES[:1]
    return dict.fromkeys(names, str(dds_profile()))


def prefix_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """AMENT_PREFIX_PATH for ROS from Python wheels, where nothing is sourced; empty where ROS was set up."""
    known = os.environ if environment is None else environment
    prefix = Path(sys.prefix)
    if known.get("AMENT_PREFIX_PATH") or not (prefix / "share" / "ament_index").is_dir():
        return {}
    return {"AMENT_PREFIX_PATH": str(prefix)}


def private_variables(domain: int | None = None) -> dict[str, str]:
    """What a group of processes needs to talk among themselves only: a domain on this machine."""
    chosen = free_domain() if domain is None else domain
    local = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if os.environ.get("ROS_DISTRO") == "humble":
        local = {"ROS_LOCALHOST_ONLY": "1"}
    return {"ROS_DOMAIN_ID": str(chosen), **local, **profile_variables(), **prefix_variables()}


@contextmanager
def applied(variables: Mapping[str, str]) -> Iterator[None]:
    """Our own environment with these variables; ROS reads them when a context is made."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def free_domain(first: int = 1, last: int = MAX_DOMAIN) -> int:
    """A ROS domain in which this machine has no participant, chosen at random so that parallel runs differ.

    Raises:
        RuntimeError: every domain in the range is in use.
    """
    for domain in random.SystemRandom().sample(range(first, last + 1), last + 1 - first):
        if not _in_use(domain):
            return domain
    raise RuntimeError(f"every ROS domain from {first} to {last} is in use on this machine; set ROS_DOMAIN_ID yourself")


def _in_use(domain: int) -> bool:
    """A domain's first participant binds a known UDP port (RTPS specification 9.6.1: 7400 + 250 d + 10)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 7400 + 250 * domain + 10))
        except OSError:
            return True
    return False
