"""gen_video(seed, n_frames=8, size=1024) -> uint8 RGB [T,H,W,3].

Only IEEE + - * on float64 and PCG64 draws (no libm, no BLAS), so it is bit-reproducible.
* background: per-channel bilinear up-sampling of a 9x9 random grid (70..150) plus a 65x65 random grid (+-14);
  both fixed for the whole video (drawn once), the fine one scrolled right by 3 px per frame (wrap-around).
* 6 rectangles: integer sizes / start / velocity, colours 0..255, painted in order (later ones on top);
  they bounce off the border; rectangle 0 carries 16-px vertical stripes (every second stripe + 60, clipped).
* rectangle 1 is always pure white-ish (250,245,240) so that every frame has bright pixels.
"""

import numpy as np


def _up(grid, size):
    g = grid.shape[0]
    pos = np.arange(size, dtype=np.float64) * ((g - 1) / float(size))  # 0 .. <g-1
    i0 = np.floor(pos).astype(np.int64)
    w = pos - i0
    rows = grid[i0] * (1.0 - w)[:, None] + grid[i0 + 1] * w[:, None]
    return rows[:, i0] * (1.0 - w)[None, :] + rows[:, i0 + 1] * w[None, :]


def _bounce(p, lim):
    p = p % (2 * lim)
    return p if p <= lim else 2 * lim - p


def gen_video(seed, n_frames=8, size=1024):
    rng = np.random.Generator(np.random.PCG64(seed))
    coarse = rng.integers(70, 151, size=(3, 9, 9)).astype(np.float64)
    fine = rng.integers(-14, 15, size=(3, 65, 65)).astype(np.float64)
    n = 6
    hw = rng.integers(size // 10, size // 3, size=(n, 2))
    start = rng.integers(0, size, size=(n, 2))
    vel = rng.integers(-(size // 24), size // 24 + 1, size=(n, 2))
    col = rng.integers(0, 256, size=(n, 3)).astype(np.float64)
    col[1] = (250.0, 245.0, 240.0)
    bg = np.stack([_up(coarse[c], size) for c in range(3)], -1)
    fn = np.stack([_up(fine[c], size) for c in range(3)], -1)
    stripe = ((np.arange(size) // 16) % 2).astype(np.float64) * 60.0
    out = np.empty((n_frames, size, size, 3), dtype=np.uint8)
    for t in range(n_frames):
        im = bg + np.roll(fn, 3 * t, axis=1)
        for k in range(n):
            h, w = int(hw[k, 0]), int(hw[k, 1])
            y = int(_bounce(int(start[k, 0]) + t * int(vel[k, 0]), size - h))
            x = int(_bounce(int(start[k, 1]) + t * int(vel[k, 1]), size - w))
            im[y : y + h, x : x + w] = col[k]
            if k == 0:
                im[y : y + h, x : x + w] += stripe[:w][None, :, None]
        out[t] = np.clip(np.floor(im + 0.5), 0.0, 255.0).astype(np.uint8)
    return out
