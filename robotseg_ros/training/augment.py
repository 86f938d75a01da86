"""Augmentation of frames and label maps: one geometry and one look per clip, applied frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .settings import AugmentSettings

Rng = np.random.Generator

LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Geometry:
    """A perspective warp from source pixels to the (side, side) network input."""

    matrix: np.ndarray  # (3, 3)
    border: int
    fill: tuple[int, int, int]


@dataclass(frozen=True)
class Occluder:
    """A textured polygon in front of the robot, drifting by `velocity` pixels a frame."""

    outline: np.ndarray  # (N, 2)
    texture: np.ndarray  # (side, side, 3)
    velocity: np.ndarray  # (2,)


@dataclass(frozen=True)
class Look:
    """Everything about a clip's appearance that stays the same over its frames."""

    colour: np.ndarray | None = None  # (3, 4) affine in RGB
    robot_colour: np.ndarray | None = None
    gamma: float = 1.0
    backdrop: np.ndarray | None = None  # (side, side, 3)
    feather: int = 3
    occluders: tuple[Occluder, ...] = ()
    kernel: np.ndarray | None = None
    noise: float = 0.0
    jpeg: int | None = None


def resize_geometry(width: int, height: int, side: int) -> Geometry:
    """The plain resize that the network's own pre-processing does."""
    return Geometry(
        _centred(side) @ np.diag([side / width, side / height, 1.0]) @ _offset(-width / 2, -height / 2),
        0,
        (0, 0, 0),
    )


def sample_geometry(rng: Rng, settings: AugmentSettings, width: int, height: int, side: int) -> Geometry:
    """Flip, zoom, rotation, shift and perspective about the centre, in one matrix."""
    zoom = float(np.exp(rng.uniform(*np.log(settings.zoom))))
    angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    stretch = float(np.exp(rng.uniform(-1, 1) * np.log(settings.aspect) / 2))
    mirror = -1.0 if rng.random() < settings.flip else 1.0
    rotate = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    scale = np.diag([mirror * zoom * stretch, zoom / stretch, 1.0])
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-settings.perspective, settings.perspective, 2) / side
    shift = rng.uniform(-1, 1, 2) * (abs(zoom - 1) / 2 + 0.1) * side
    squash = np.diag([side / width, side / height, 1.0])
    matrix = _centred(side) @ _offset(*shift) @ tilt @ squash @ rotate @ scale @ _offset(-width / 2, -height / 2)
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    return Geometry(matrix, border, tuple(int(level) for level in rng.integers(0, 256, 3)))  # type: ignore[arg-type]


def sample_window(rng: Rng, label: np.ndarray, side: int, tries: int = 8) -> Geometry:
    """A piece of the frame instead of all of it; every second time the one of `tries` that shows least of the robot.

    The labelled first frame of a clip nearly always shows the robot whole. Without pieces that show the arm alone, or
    nothing, a network learns that each part is there in every picture. label (H, W).
    """
    return _piece(_window(rng, label, tries), 1.0 if rng.random() < 0.5 else -1.0, side)


def travelling(rng: Rng, label: np.ndarray, side: int, frames: int) -> list[Geometry]:
    """Frames that pass from one piece of the picture to another, or cut to it: the robot leaves the view, or comes in.

    Moved a little only, a still shows in its last frame what it showed in its first, and a memory learns that nothing
    ever changes. label (H, W).
    """
    start, end = _window(rng, label), _window(rng, label)
    share = np.linspace(0, 1, frames)
    if rng.random() < 0.5:
        share = (np.arange(frames) >= rng.integers(1, frames)).astype(float)
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    return [_piece((1 - part) * start + part * end, mirror, side) for part in share]


def _piece(window: np.ndarray, mirror: float, side: int) -> Geometry:
    x, y, width, height = window
    scale = np.diag([mirror * side / width, side / height, 1.0])
    matrix = _centred(side) @ scale @ _offset(-(x + width / 2), -(y + height / 2))
    return Geometry(matrix, cv2.BORDER_REFLECT_101, (0, 0, 0))


def _window(rng: Rng, label: np.ndarray, tries: int = 8) -> np.ndarray:
    """x, y, width, height: every second time of that of `tries` windows which shows least of the robot."""
    windows = [_random_window(rng, *label.shape) for _ in range(tries)]
    if rng.random() >= 0.5:
        return np.array(windows[0], float)
    shown = [np.count_nonzero(label[y : y + height, x : x + width]) for x, y, width, height in windows]
    return np.array(windows[int(np.argmin(shown))], float)


def _random_window(rng: Rng, height: int, width: int) -> tuple[int, int, int, int]:
    """x, y, width, height of a window of a third to four fifths of the frame each way."""
    wide, high = np.round(rng.uniform(0.33, 0.8) * rng.uniform(0.85, 1.15, 2) * (width, height)).astype(int)
    return int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1)), int(wide), int(high)


def moved(rng: Rng, geometry: Geometry, side: int) -> Geometry:
    """The geometry of the next frame when a still is moved: shifted, turned and zoomed a little about the centre."""
    angle, zoom = np.deg2rad(rng.normal(0, 4)), float(np.exp(rng.normal(0, 0.05)))
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    step = _offset(*rng.normal(0, 0.04 * side, 2)) @ _centred(side) @ turn @ _offset(-side / 2, -side / 2)
    return replace(geometry, matrix=step @ geometry.matrix)


def _offset(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1.0]])


def _centred(side: int) -> np.ndarray:
    return _offset(side / 2, side / 2)


def warp(image: np.ndarray, geometry: Geometry, side: int) -> np.ndarray:
    """Image (side, side, 3), bilinear."""
    return cv2.warpPerspective(
        image,
        _pixel_matrix(geometry),
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=geometry.border,
        borderValue=geometry.fill,
    )


def warp_label(label: np.ndarray, geometry: Geometry, side: int) -> np.ndarray:
    """Label map (side, side), nearest; a constant border is background."""
    return cv2.warpPerspective(
        label, _pixel_matrix(geometry), (side, side), flags=cv2.INTER_NEAREST, borderMode=geometry.border, borderValue=0
    )


def _pixel_matrix(geometry: Geometry) -> np.ndarray:
    """Pixel centres lie at +0.5 in the geometry's coordinates and at integers in OpenCV's."""
    return _offset(-0.5, -0.5) @ geometry.matrix @ _offset(0.5, 0.5)


def sample_look(
    rng: Rng,
    settings: AugmentSettings,
    side: int,
    label: np.ndarray,
    other_frame: np.ndarray,
    other_label: np.ndarray,
) -> Look:
    """A clip's appearance. `label` (side, side) is its first frame's, for where occluders go; the other frame, from
    another clip, gives backdrops (its robot blurred beyond recognition) and textures."""
    other = cv2.resize(other_frame, (side, side), interpolation=cv2.INTER_LINEAR)
    chance = rng.random(7) < [
        settings.colour, settings.recolour_robot, settings.background, settings.occluder,
        settings.blur, settings.noise, settings.jpeg,
    ]  # fmt: skip
    return Look(
        colour=colour_matrix(rng, settings) if chance[0] else None,
        gamma=float(np.exp(rng.normal(0, 0.25))) if chance[0] else 1.0,
        robot_colour=robot_matrix(rng) if chance[1] else None,
        backdrop=_backdrop(rng, side, other, other_label) if chance[2] else None,
        feather=int(rng.choice([1, 3, 5])),
        occluders=_occluders(rng, side, label, other) if chance[3] else (),
        kernel=blur_kernel(rng) if chance[4] else None,
        noise=float(rng.uniform(2, 16)) if chance[5] else 0.0,
        jpeg=int(rng.integers(25, 90)) if chance[6] else None,
    )


def colour_matrix(rng: Rng, settings: AugmentSettings) -> np.ndarray:
    """Hue, saturation, contrast, brightness, white balance, channel order as one (3, 4) matrix."""
    saturation = 0.0 if rng.random() < settings.gray else rng.uniform(0.4, 1.6)
    turn = _hue_rotation(rng.normal(0, 0.25))
    matrix = saturation * turn + (1 - saturation) * LUMA[None, :]
    matrix = np.diag(rng.uniform(0.8, 1.2, 3)) @ matrix
    if rng.random() < settings.permute:
        matrix = matrix[rng.permutation(3)]
    contrast, brightness = rng.uniform(0.6, 1.4), rng.uniform(-45, 45)
    return np.column_stack([contrast * matrix, np.full(3, 128 * (1 - contrast) + brightness)])


def robot_matrix(rng: Rng) -> np.ndarray:
    """A new paint for the robot: its own shading times a random colour, or turned in hue."""
    if rng.random() < 0.5:
        paint = rng.uniform(0.15, 1.3, 3)
        base = 0.3 * np.eye(3) + 0.7 * LUMA[None, :]
        return np.column_stack([np.diag(paint) @ base, rng.uniform(-10, 30) * np.ones(3)])
    turn = _hue_rotation(rng.uniform(-np.pi, np.pi))[rng.permutation(3)]
    return np.column_stack([rng.uniform(0.5, 1.2) * turn, rng.uniform(-20, 40) * np.ones(3)])


def _hue_rotation(angle: float) -> np.ndarray:
    """Rotation about the gray axis of RGB."""
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)


def random_texture(rng: Rng, side: int) -> np.ndarray:
    """Smooth colour noise of several octaves (side, side, 3) uint8."""
    total = np.zeros((side, side, 3), np.float32)
    weights = rng.dirichlet(np.ones(4))
    for weight, cells in zip(weights, (2, 5, 14, 40), strict=True):
        total += weight * cv2.resize(
            rng.integers(0, 256, (cells, cells, 3)).astype(np.float32),
            (side, side),
            interpolation=cv2.INTER_LINEAR,
        )
    spread = rng.uniform(0.6, 2.0)
    return np.clip((total - total.mean()) * spread + rng.uniform(40, 215), 0, 255).astype(np.uint8)


def _backdrop(rng: Rng, side: int, other: np.ndarray, other_label: np.ndarray) -> np.ndarray:
    if rng.random() < 0.4:
        return random_texture(rng, side)
    return without_robot(other, cv2.resize(other_label, (side, side), interpolation=cv2.INTER_NEAREST))


def without_robot(image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The picture with its robot smoothed away by what surrounds it: left in, it would be taught as background, and
    covered by a texture its outline would be."""
    side = image.shape[0]
    small = (side // 4, side // 4)
    free = (cv2.dilate(label, np.ones((7, 7), np.uint8)) == 0).astype(np.float32)
    share = cv2.resize(free, small, interpolation=cv2.INTER_AREA)
    colours = cv2.resize(image * free[..., None], small, interpolation=cv2.INTER_AREA)
    fill, weight = np.zeros_like(colours), np.zeros_like(share)
    for reach in (5, 15, 45):  # a far neighbour counts only where there is no near one
        kernel, gain = (reach, reach), 0.03 ** (reach // 10)
        fill += gain * cv2.blur(colours, kernel)
        weight += gain * cv2.blur(share, kernel)
    fill = cv2.resize(fill / (weight[..., None] + 1e-6), (side, side), interpolation=cv2.INTER_LINEAR)
    alpha = cv2.blur(free, (3, 3))[..., None]
    return (alpha * image + (1 - alpha) * fill.clip(0, 255)).astype(np.uint8)


def _occluders(rng: Rng, side: int, label: np.ndarray, other: np.ndarray) -> tuple[Occluder, ...]:
    rows, columns = np.nonzero(label[::4, ::4])
    made = []
    for _ in range(int(rng.integers(1, 4))):
        if len(rows) and rng.random() < 0.8:
            pick = rng.integers(len(rows))
            centre = 4.0 * np.array([columns[pick], rows[pick]])
        else:
            centre = rng.uniform(0, side, 2)
        corners = int(rng.integers(3, 10))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = rng.uniform(0.4, 1, corners) * rng.uniform(0.03, 0.16) * side
        stretch = rng.uniform(0.4, 1.6, 2)
        outline = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] * stretch
        texture = np.roll(other, int(rng.integers(side)), 1) if rng.random() < 0.4 else random_texture(rng, side)
        made.append(Occluder(outline, texture, rng.normal(0, 0.015 * side, 2)))
    return tuple(made)


def blur_kernel(rng: Rng) -> np.ndarray:
    """Defocus (Gaussian) or motion (a line) as a filter that sums to 1."""
    if rng.random() < 0.5:
        line = cv2.getGaussianKernel(5, rng.uniform(0.5, 1.6))
        return (line @ line.T).astype(np.float32)
    length = int(rng.integers(3, 10))
    kernel = np.zeros((9, 9), np.float32)
    reach = np.array([np.cos(angle := rng.uniform(0, np.pi)), np.sin(angle)]) * (length - 1) / 2
    ends = [tuple(int(value) for value in np.round(4 + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return kernel / kernel.sum()


def jittered(rng: Rng, look: Look, amount: float) -> Look:
    """The look of the next frame of the same clip: exposure and tint drift a little."""
    if look.colour is None or amount == 0:
        return look
    return replace(look, colour=look.colour * (1 + rng.normal(0, amount, (3, 1))))


class Appearance:
    """Applies looks; holds the noise that all frames draw from, since generating it anew would be the slowest step."""

    def __init__(self, side: int, seed: int = 0) -> None:
        self.side = side
        grain = np.random.default_rng(seed).normal(128, 32, (2 * side, 2 * side, 3))
        self._grain = np.clip(grain, 0, 255).astype(np.uint8)

    def apply(
        self, rng: Rng, look: Look, image: np.ndarray, label: np.ndarray | None, frame: int = 0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """`image` (side, side, 3) and `label` (side, side), already warped -> both with the look; inputs are not written.

        A frame whose label is not known (None) must have a look without backdrop and paint.
        """
        if look.backdrop is not None and label is not None:
            image = _composite(image, look.backdrop, label, look.feather)
        if look.robot_colour is not None and label is not None:
            image = cv2.copyTo(cv2.transform(image, look.robot_colour), (label > 0).astype(np.uint8), image.copy())
        if look.occluders:
            image, label = _occlude(image, label, look.occluders, frame)
        if look.colour is not None:
            image = cv2.transform(image, look.colour)
        if look.gamma != 1.0:
            image = cv2.LUT(image, _gamma_table(look.gamma))
        if look.kernel is not None:
            image = cv2.filter2D(image, -1, look.kernel)
        if look.noise > 0:
            image = self._noisy(rng, image, look.noise)
        if look.jpeg is not None:
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, look.jpeg])
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        return image, label

    def _noisy(self, rng: Rng, image: np.ndarray, sigma: float) -> np.ndarray:
        y, x = rng.integers(0, self.side, 2)
        gain = sigma / 32
        return cv2.addWeighted(image, 1.0, self._grain[y : y + self.side, x : x + self.side], gain, -128 * gain)


def _composite(image: np.ndarray, backdrop: np.ndarray, label: np.ndarray, feather: int) -> np.ndarray:
    alpha = (label > 0).astype(np.float32)
    if feather > 1:
        alpha = cv2.GaussianBlur(alpha, (feather, feather), 0)
    return cv2.blendLinear(image, backdrop, alpha, 1 - alpha)


def _occlude(
    image: np.ndarray, label: np.ndarray | None, occluders: tuple[Occluder, ...], frame: int
) -> tuple[np.ndarray, np.ndarray | None]:
    image = image.copy()
    for occluder in occluders:
        shape = np.zeros(image.shape[:2], np.uint8)
        outline = np.round(occluder.outline + frame * occluder.velocity).astype(np.int32)
        cv2.fillPoly(shape, [outline], 1)
        cv2.copyTo(occluder.texture, shape, image)
        label = None if label is None else np.where(shape > 0, np.uint8(0), label)
    return image, label


def _gamma_table(gamma: float) -> np.ndarray:
    return (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)
