"""What robots stand on and among in laboratories: carts, racks, controllers, monitors, columns and cables.

All of it is background in the paints of robots, right at the base: that something is metal and near an arm does not make
it robot. Only training scenes have it (scene.py). It is drawn last, so that the random numbers of all else stay as they
were; a table gives way to a cart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .textures import random_colour

if TYPE_CHECKING:
    from .scene import SceneBuilder

Array = NDArray[np.float64]
CABLE_COLOURS = np.array([(0.05, 0.05, 0.05), (0.2, 0.2, 0.22), (0.8, 0.8, 0.78), (0.9, 0.45, 0.05), (0.1, 0.25, 0.6)])


def add_workstation(builder: SceneBuilder, base: Array, height: float, paints: Array) -> None:
    """Around a robot's `base` (m), on and below a table of that `height` (m); `paints` (N, 3) are the robots'."""
    rng = builder.rng
    skins = [_paint(builder, paints) for _ in range(3)]
    if builder.entry.standing is None and base[2] > 0.3 and rng.uniform() < 0.75:
        _cart(builder, base, skins)
    for _ in range(int(rng.integers(1, 7))):
        _equipment(builder, base, height, str(rng.choice(skins)))
    for _ in range(int(rng.integers(0, 5))):
        _cable(builder, base, height)


def _paint(builder: SceneBuilder, paints: Array) -> str:
    """An untextured material in a robot's paint, mostly dark or grey as frames and housings are."""
    rng, name = builder.rng, builder.name("material")
    material = builder.spec.add_material(name=name)
    material.specular, material.shininess = rng.uniform(0, 0.9), rng.uniform(0, 1)
    grey = np.repeat(rng.uniform(0.03, 0.75), 3) + rng.normal(0, 0.015, 3)
    colour = grey if rng.uniform() < 0.6 else paints[rng.integers(len(paints))]
    material.rgba = [*np.clip(colour, 0, 1), 1]
    return name


def _body(builder: SceneBuilder, place: Any, turn: float) -> Any:
    body = builder.spec.worldbody.add_body(pos=place)
    body.quat = [np.cos(turn / 2), 0, 0, np.sin(turn / 2)]
    return body


def _cart(builder: SceneBuilder, base: Array, skins: list[str]) -> None:
    """A frame of profiles under the base, with shelves, boxes in it, panels and wheels; the table stands before it."""
    rng, top = builder.rng, float(base[2]) - 0.003
    half = rng.uniform((0.2, 0.2), (0.5, 0.5))
    back = rng.uniform(-0.1, max(0.0, half[0] - 0.12))
    body = _body(builder, (base[0] - back, base[1] + rng.uniform(-0.15, 0.15), 0.0), rng.normal(0, 0.15))
    near = min((geom.pos[0] - geom.size[0] for geom in builder.desk_geoms), default=np.inf)
    moved = base[0] - back + half[0] + rng.uniform(0.02, 0.2) - near
    for geom in builder.desk_geoms if moved > 0 else ():
        geom.pos = geom.pos + np.array([moved, 0, 0])
    frame, plate, box = skins
    bar, floor = rng.uniform(0.012, 0.035), rng.uniform(0.05, 0.12)
    builder.geom(body, "box", (*half, 0.008), (0, 0, top - 0.008), plate)
    for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        corner = half * (x, y)
        builder.geom(body, "box", (bar, bar, (top - floor) / 2), (*corner, (top + floor) / 2 - 0.01), frame)
        builder.geom(body, "cylinder", (floor / 2, 0.015), (*corner, floor / 2), frame, quat=[0.7071, 0.7071, 0, 0])
    for level in [floor, top - bar - 0.01, *rng.uniform(floor, top, int(rng.integers(0, 3)))]:
        for side in (-1, 1):
            builder.geom(body, "box", (half[0], bar, bar), (0, side * half[1], level), frame)
            builder.geom(body, "box", (bar, half[1], bar), (side * half[0], 0, level), frame)
        if rng.uniform() < 0.6:
            builder.geom(body, "box", (*half, 0.006), (0, 0, level), plate)
            for _ in range(int(rng.integers(0, 3))):
                size = rng.uniform((0.05, 0.05, 0.03), (*(0.6 * half), 0.18))
                place = rng.uniform(-0.4, 0.4, 2) * half
                skin = box if rng.uniform() < 0.5 else builder.material(0.6, 0.5)
                builder.geom(body, "box", size, (*place, level + size[2]), skin)
    for side in (-1, 1):
        if rng.uniform() < 0.3:
            panel = (half[0], 0.004, (top - floor) / 2)
            builder.geom(body, "box", panel, (0, side * (half[1] + 0.002), (top + floor) / 2), plate)


def _equipment(builder: SceneBuilder, base: Array, height: float, skin: str) -> None:
    """A housing, a monitor, a column or a cabinet beside the base, mostly behind it."""
    rng = builder.rng
    angle = rng.normal(np.pi, 1.3)
    kind = str(rng.choice(["housing", "housing", "monitor", "column", "cabinet"]))
    away = rng.uniform(0.5, 1.2) if kind == "cabinet" else rng.uniform(0.2, 0.65)
    floor = 0.0 if kind == "cabinet" else height
    body = _body(builder, (base[0] + away * np.cos(angle), base[1] + away * np.sin(angle), floor), rng.uniform(0, 6.3))
    other = builder.material(0.5, 0.5)
    if kind == "housing":
        size = rng.uniform((0.04, 0.04, 0.02), (0.18, 0.15, 0.16))
        builder.geom(body, "box", size, (0, 0, size[2]), skin if rng.uniform() < 0.7 else other)
        builder.geom(body, "box", (size[0] * 0.8, 0.004, size[2] * 0.7), (0, size[1], size[2]), other)
    elif kind == "monitor":
        size, foot = rng.uniform((0.12, 0.01, 0.08), (0.3, 0.025, 0.19)), rng.uniform(0.05, 0.2)
        builder.geom(body, "box", size, (0, 0, foot + size[2]), skin)
        builder.geom(body, "box", (size[0] * 0.95, 0.002, size[2] * 0.93), (0, size[1], foot + size[2]), other)
        builder.geom(body, "cylinder", (0.02, foot / 2 + 0.03), (0, -0.02, foot / 2 + 0.03), skin)
        builder.geom(body, "box", (0.1, 0.08, 0.008), (0, 0, 0.008), skin)
    elif kind == "column":
        side, tall = rng.uniform(0.012, 0.05), rng.uniform(0.15, 0.7)
        shape = str(rng.choice(["box", "cylinder"]))
        builder.geom(body, shape, (side, side, tall) if shape == "box" else (side, tall), (0, 0, tall), skin)
        reach = rng.uniform(0.05, 0.35)
        builder.geom(body, "box", (reach, side, side), (reach, 0, rng.uniform(0.5, 2) * tall), skin)
    else:
        size = rng.uniform((0.15, 0.15, 0.2), (0.35, 0.35, 0.7))
        builder.geom(body, "box", size, (0, 0, size[2]), skin if rng.uniform() < 0.5 else other)
        for _ in range(int(rng.integers(0, 5))):
            panel = rng.uniform((0.05, 0.03), (size[0], size[2] / 2))
            builder.geom(body, "box", (panel[0], 0.005, panel[1]), (0, size[1], rng.uniform(0.2, 1.8) * size[2]), other)


def _cable(builder: SceneBuilder, base: Array, height: float) -> None:
    """A chain of thin capsules that leaves the base, over the table and sometimes through the air."""
    rng, name = builder.rng, builder.name("material")
    colour = CABLE_COLOURS[rng.integers(len(CABLE_COLOURS))] if rng.uniform() < 0.8 else random_colour(rng)
    builder.spec.add_material(name=name).rgba = [*colour, 1]
    radius, heading = rng.uniform(0.003, 0.011), rng.normal(np.pi, 1.2)
    lift = rng.uniform(0, 0.12) if rng.uniform() < 0.4 else 0.0
    point = np.array([base[0] + 0.1 * np.cos(heading), base[1] + 0.1 * np.sin(heading), height + radius])
    for index in range(int(rng.integers(5, 15))):
        heading += rng.normal(0, 0.5)
        length = rng.uniform(0.04, 0.1)
        up = height + radius + lift * abs(np.sin(0.6 * (index + 1)))
        tip = np.array([point[0] + length * np.cos(heading), point[1] + length * np.sin(heading), up])
        builder.geom(builder.spec.worldbody, "capsule", radius, (0, 0, 0), name, fromto=[*point, *tip])
        point = tip
