"""Names of the topics in a demo bag and at the node that it is replayed into."""

from __future__ import annotations

NAMESPACE = "/camera"
IMAGE = f"{NAMESPACE}/image/compressed"
STATUS = f"{NAMESPACE}/status"
OVERLAY = f"{NAMESPACE}/overlay/compressed"
FRAME_ID = "camera_optical_frame"


def truth(part: str) -> str:
    """Topic of a part's true masks: CompressedImage, png, mono8, 0 or 255, stamped as their image."""
    return f"/truth/{part}"


def mask(part: str) -> str:
    """Topic of a part's mask as the node publishes it: Image, mono8, 0 or 255."""
    return f"{NAMESPACE}/mask/{part}"
