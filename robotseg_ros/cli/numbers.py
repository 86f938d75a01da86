"""Numbers on command lines: argparse types that say what would be right."""

from __future__ import annotations

import argparse


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return value


def index(text: str) -> int:
    """0, 1, …"""
    return _whole(text, 0)


def count(text: str) -> int:
    """1, 2, …"""
    return _whole(text, 1)


def fraction(text: str) -> float:
    """0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value
