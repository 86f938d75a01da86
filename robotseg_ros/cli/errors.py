"""What a command raises when its user has to change something."""

from __future__ import annotations


class BadInput(Exception):
    """Wrong arguments or unusable input: the command ends with exit code 2 and this message."""
