"""Notices where a stream of images cannot be continued, so that its memory must be forgotten."""

from __future__ import annotations

# Clocks that are being adjusted step back by milliseconds; a bag that starts over steps back by its length.
BACKWARD_JUMP_NS = 100_000_000


class Continuity:
    """Follows the size and the time stamps of the images of one stream."""

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None  # (height, width) of the last image
        self._stamp = 0

    def break_before(self, size: tuple[int, int], stamp: int) -> str | None:
        """Why the stream must start anew at this image, or None.

        `size` is (height, width), `stamp` in nanoseconds, 0 where the camera gives none.
        """
        last_size, last_stamp = self.size, self._stamp
        self.size, self._stamp = size, stamp or last_stamp
        if last_size is not None and size != last_size:
            return f"image size changed from {last_size[1]} x {last_size[0]} to {size[1]} x {size[0]}"
        if stamp and last_stamp - stamp > BACKWARD_JUMP_NS:
            return f"time went back by {(last_stamp - stamp) / 1e9:.3f} s"
        return None
