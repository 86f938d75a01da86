"""A random world around a robot, from a seed: room, table, clutter, lights, robot colours, occluders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import assets
from .embodiments import Embodiment, companions, embodiment
from .textures import random_colour, random_texture
from .workstation import add_workstation

Array = NDArray[np.float64]
SECOND_ROBOTS = 0.12  # share of the scenes with another robot
WORKSTATIONS = 0.6  # share of the training scenes with laboratory equipment around the base
_PAINTS = np.array(
    [
        (0.93, 0.93, 0.93),
        (0.75, 0.76, 0.78),
        (0.45, 0.46, 0.48),
        (0.12, 0.12, 0.13),
        (0.95, 0.42, 0.05),
        (0.98, 0.72, 0.05),
    ]
    + [
        (0.75, 0.08, 0.06),
        (0.1, 0.3, 0.75),
        (0.45, 0.65, 0.8),
        (0.15, 0.5, 0.25),
        (0.2, 0.22, 0.3),
        (0.85, 0.82, 0.72),
    ]
)


@dataclass(frozen=True)
class Mounted:
    """A robot in the world: its bodies' names begin with `prefix`, its base is at `base` (m), its links stay above
    `floor` (m)."""

    entry: Embodiment
    prefix: str
    base: Array
    floor: float


@dataclass
class Scene:
    """A compiled world. `labels[geom]` is the part of each geom (0 background, 1 arm, 2 gripper, 3 robot).

    The first of the robots is the one that is filmed.
    """

    model: Any
    robots: list[Mounted]
    labels: NDArray[np.uint8]
    room: float
    occluders: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)


class SceneBuilder:
    """Adds random things to a MuJoCo spec; each method draws from the one generator it was given."""

    def __init__(
        self,
        entry: Embodiment,
        rng: np.random.Generator,
        evaluation: bool,
        side: tuple[int, int],
        calm: bool = False,
    ):
        self.mj = assets.import_mujoco()
        self.entry, self.rng, self.evaluation, self.calm = entry, rng, evaluation, calm
        self.spec = self.mj.MjSpec()
        self.spec.compiler.autolimits = True
        visual = self.spec.visual
        visual.quality.offsamples = 0
        visual.quality.shadowsize = 1024
        visual.global_.offwidth, visual.global_.offheight = side
        visual.map.znear, visual.map.zfar = 0.02, 30
        self.spec.stat.extent = 1.0
        self.spec.stat.center = [0, 0, 0]
        self.desk_geoms: list[Any] = []
        self._textures: list[str] = []
        self._count = 0

    def name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def texture(self, photo: float = 0.3) -> str:
        """Adds a random texture and returns its name."""
        name = self.name("texture")
        image = random_texture(self.rng, self.evaluation, *((0.0, 1.0) if self.calm else (photo,)))
        height, width = image.shape[:2]
        texture = self.spec.add_texture(
            name=name, type=self.mj.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
        )
        texture.data = image.tobytes()
        self._textures.append(name)
        return name

    def material(self, textured: float = 0.5, photo: float = 0.3, repeat: tuple[float, float] = (0.5, 4)) -> str:
        """Adds a random material and returns its name; its texture is new or one already in use."""
        rng, name = self.rng, self.name("material")
        material = self.spec.add_material(name=name)
        material.specular, material.shininess = rng.uniform(0, 0.8), rng.uniform(0, 1)
        if rng.uniform() < textured:
            reuse = len(self._textures) >= 7
            texture = str(rng.choice(self._textures)) if reuse else self.texture(photo)
            material.textures[self.mj.mjtTextureRole.mjTEXROLE_RGB] = texture
            tiles = float(np.exp(rng.uniform(*np.log(repeat))))
            material.texrepeat = [tiles, tiles]
            material.rgba = [*rng.uniform(0.75, 1, 3), 1]
        else:
            material.rgba = [*random_colour(rng), 1]
        return name

    def geom(self, body: Any, kind: str, size: Any, pos: Any = (0, 0, 0), material: str = "", **more: Any) -> Any:
        """Adds a primitive that touches nothing; `kind` is its MJCF type (box, sphere, cylinder, ...)."""
        kind = getattr(self.mj.mjtGeom, f"mjGEOM_{kind.upper()}")
        padded = [*np.atleast_1d(size).astype(float), 0.01, 0.01][:3]
        return body.add_geom(type=kind, size=padded, pos=pos, material=material, contype=0, conaffinity=0, **more)

    def room(self) -> float:
        """Floor, walls and ceiling; returns the half width (m) within which a camera may stand."""
        rng, world = self.rng, self.spec.worldbody
        half = 2.2 if self.calm else rng.uniform(1.3, 3.5)
        self.geom(world, "box", (half + 0.2, half + 0.2, 0.02), (0, 0, -0.02), self.material(0.85, 0.1, (1, 8)))
        shared = self.material(0.7, 0.35, (1, 3))
        for index in range(4):
            angle = index * np.pi / 2
            pos = (half * np.cos(angle), half * np.sin(angle), 1.4)
            size = (0.02, half + 0.02, 1.45) if index % 2 == 0 else (half + 0.02, 0.02, 1.45)
            self.geom(world, "box", size, pos, shared if rng.uniform() < 0.3 else self.material(0.75, 0.5, (1, 3)))
        if rng.uniform() < 0.8:
            self.geom(world, "box", (half + 0.2, half + 0.2, 0.02), (0, 0, 2.85), self.material(0.3))
        sky = self.spec.add_texture(name="sky", type=self.mj.mjtTexture.mjTEXTURE_SKYBOX, width=64, height=384)
        sky.builtin = self.mj.mjtBuiltin.mjBUILTIN_GRADIENT
        sky.rgb1, sky.rgb2 = random_colour(rng), random_colour(rng)
        for _ in range(int(rng.integers(0, 6))):
            self.furniture(half)
        return half - 0.1

    def furniture(self, half: float) -> None:
        """A box, column or frame near a wall."""
        rng = self.rng
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 0.95) * half
        size = rng.uniform((0.05, 0.05, 0.1), (0.4, 0.4, 0.9))
        body = self.spec.worldbody.add_body(pos=(away * np.cos(angle), away * np.sin(angle), size[2]))
        body.quat = [np.cos(angle / 2), 0, 0, np.sin(angle / 2)]
        kind = str(rng.choice(["box", "box", "cylinder"]))
        self.geom(body, kind, size if kind == "box" else (size[0], size[2]), material=self.material(0.5))

    def table(self) -> tuple[float, Array]:
        """The surface to work on and the pedestal; returns its height and the robot's base position (m)."""
        if self.entry.standing is not None:
            return self.table_before(self.entry.standing)
        rng = self.rng
        if rng.uniform() < 0.1 and not self.calm:
            return 0.0, np.array([0.0, 0.0, rng.uniform(0, 0.05)])
        height = rng.uniform(0.3, 0.95)
        half = rng.uniform((0.4, 0.45), (0.8, 1.0))
        thick = rng.uniform(0.01, 0.04)
        centre = np.array([half[0] - rng.uniform(0.15, 0.35), rng.uniform(-0.15, 0.15)])
        base = np.array([0.0, 0.0, height])
        if rng.uniform() < 0.2:
            centre[0] += 0.3
            base[2] = height + rng.uniform(-0.15, 0.1)
        if rng.uniform() < 0.25 or base[2] != height:
            base[2] += 0.0 if base[2] != height else rng.uniform(0.005, 0.12)
            self.pedestal(float(base[2]))
        self.desk(height, centre, half, thick)
        return height, base

    def table_before(self, standing: float) -> tuple[float, Array]:
        """A table in front of a robot that stands on the floor; returns as `table`."""
        rng = self.rng
        height, half = rng.uniform(0.35, 0.7), rng.uniform((0.3, 0.45), (0.5, 0.9))
        if rng.uniform() < 0.75:
            self.desk(height, np.array([0.4 + half[0], rng.uniform(-0.2, 0.2)]), half, 0.02)
        if standing > 0 and not self.entry.still:
            self.pedestal(standing)
        return height, np.array([0.0, 0.0, standing])

    def pedestal(self, height: float, place: Any = (0.0, 0.0)) -> None:
        """A block or column under a robot's base; it counts as background."""
        rng = self.rng
        kind = str(rng.choice(["box", "cylinder"]))
        side = rng.uniform(0.09, 0.2)
        size = (side, side, height / 2) if kind == "box" else (side, height / 2)
        self.geom(self.spec.worldbody, kind, size, (*place, height / 2 - 0.001), self.material(0.3))

    def desk(self, height: float, centre: Array, half: Array, thick: float) -> None:
        """A table top of half size `half` (m) on legs or on a block."""
        rng, world = self.rng, self.spec.worldbody
        top = self.material(0.8, 0.08, (0.5, 3))
        self.desk_geoms.append(self.geom(world, "box", (*half, thick), (*centre, height - thick), top))
        legs, under = self.material(0.2), height / 2 - thick
        if rng.uniform() < 0.35:
            self.desk_geoms.append(self.geom(world, "box", (*(half * 0.9), under), (*centre, under), legs))
        else:
            for corner in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                place = centre + 0.93 * half * corner
                self.desk_geoms.append(self.geom(world, "box", (0.025, 0.025, under), (*place, under), legs))

    def thing(self, body: Any, scale: float, prefix: str = "") -> float:
        """Adds a random object of about `scale` metres, standing on the body's origin; returns its height."""
        rng = self.rng
        kind = str(rng.choice(["box", "sphere", "cylinder", "capsule", "ellipsoid", "bottle", "mug", "lamp", "stack"]))
        material = self.material(0.45, 0.4)

        def part(shape: str, size: Any, pos: Any, skin: str = material, **more: Any) -> None:
            self.geom(body, shape, size, pos, skin, name=self.name(prefix or "thing"), **more)

        size = scale * rng.uniform(0.3, 1.0, 3)
        if kind == "box":
            part("box", size / 2, (0, 0, size[2] / 2))
        elif kind in ("sphere", "ellipsoid"):
            radii = size / 2 if kind == "ellipsoid" else np.repeat(size[0] / 2, 3)
            part("ellipsoid", radii, (0, 0, radii[2]))
        elif kind == "cylinder":
            part("cylinder", (size[0] / 2, size[2] / 2), (0, 0, size[2] / 2))
        elif kind == "capsule":
            part("capsule", (size[0] / 4, size[2] / 2), (0, 0, size[2] / 2 + size[0] / 4))
        elif kind == "bottle":
            part("cylinder", (size[0] / 3, size[2] / 2), (0, 0, size[2] / 2))
            part("capsule", (size[0] / 8, size[2] / 4), (0, 0, size[2]), self.material(0.1))
        elif kind == "mug":
            part("cylinder", (size[0] / 2.5, size[0] / 2), (0, 0, size[0] / 2))
            part("ellipsoid", (size[0] / 2, 0.01, size[0] / 3), (size[0] / 3, 0, size[0] / 2))
        elif kind == "lamp":
            self.lamp(body, scale, prefix)
        else:
            height = 0.0
            for _ in range(int(rng.integers(2, 5))):
                slab = scale * rng.uniform((0.3, 0.3, 0.05), (0.9, 0.9, 0.25))
                part("box", slab / 2, (0, 0, height + slab[2] / 2), self.material(0.4))
                height += slab[2]
        return float(size[2])

    def lamp(self, body: Any, scale: float, prefix: str = "") -> None:
        """A jointed stand of tubes and knobs: not every chain of shiny cylinders is a robot."""
        rng, point = self.rng, np.zeros(3)
        skins = [self.material(0.1), self.material(0.1)]
        for index in range(int(rng.integers(2, 5))):
            heading = rng.normal(size=3) * (0.8, 0.8, 0.3) + (0, 0, 0.9 if index == 0 else 0.3)
            heading[2] = max(heading[2], -point[2] / scale)
            tip = point + heading / np.linalg.norm(heading) * scale * rng.uniform(0.5, 1.3)
            radius = scale * rng.uniform(0.06, 0.2)
            shape = str(rng.choice(["capsule", "cylinder"]))
            ends = {"fromto": [*point, *tip]}
            self.geom(body, shape, radius, (0, 0, 0), skins[index % 2], name=self.name(prefix or "lamp"), **ends)
            self.geom(body, "sphere", radius * 1.15, tip, skins[(index + 1) % 2], name=self.name(prefix or "lamp"))
            point = tip

    def clutter(self, height: float) -> None:
        """Objects on the table around the robot."""
        rng = self.rng
        for _ in range(14 if self.calm else int(rng.integers(0, 13))):
            angle, away = rng.uniform(-2.0, 2.0), rng.uniform(0.28, 0.95)
            if self.entry.standing is not None:
                angle, away = angle / 4, away * 0.5 + 0.45
            body = self.spec.worldbody.add_body(pos=(away * np.cos(angle), away * np.sin(angle), height))
            turn = rng.uniform(0, np.pi)
            body.quat = [np.cos(turn), 0, 0, np.sin(turn)]
            self.thing(body, float(np.exp(rng.uniform(np.log(0.04), np.log(0.28)))))

    def occluders(self, count: int) -> list[str]:
        """Names of bodies to be placed between camera and robot once the camera is known."""
        found = []
        for _ in range(count):
            name = self.name("occluder")
            body = self.spec.worldbody.add_body(name=name, pos=(0, 0, -5))
            self.thing(body, self.rng.uniform(0.05, 0.16))
            found.append(name)
        return found

    def lights(self, shadows: bool) -> None:
        """One to three lights (one with shadows) and a headlight that keeps shaded sides visible."""
        rng = self.rng
        headlight = self.spec.visual.headlight
        headlight.ambient, headlight.diffuse = (
            np.full(3, rng.uniform(0.15, 0.5)),
            np.full(3, rng.uniform(0, 0.4)),
        )
        headlight.specular = np.full(3, rng.uniform(0, 0.3))
        count = int(rng.integers(1, 4))
        for index in range(count):
            pos = np.array([rng.uniform(-1.5, 2.0), rng.uniform(-1.8, 1.8), rng.uniform(1.6, 2.7)])
            target = np.array([0.3, 0.0, 0.7]) + rng.normal(scale=0.2, size=3)
            tint = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.15, 0.15) * np.array([1.0, 0.1, -1.0])
            light = self.spec.worldbody.add_light(pos=pos, dir=(target - pos) / np.linalg.norm(target - pos))
            light.type = rng.choice([self.mj.mjtLightType.mjLIGHT_DIRECTIONAL, self.mj.mjtLightType.mjLIGHT_SPOT])
            if self.calm:
                light.type = self.mj.mjtLightType.mjLIGHT_DIRECTIONAL
            light.cutoff, light.exponent = rng.uniform(40, 75), rng.uniform(0, 8)
            light.diffuse = np.clip(tint * rng.uniform(0.35, 0.9) / count**0.5, 0, 1)
            light.specular = np.full(3, rng.uniform(0, 0.5))
            light.castshadow = bool(shadows and index == 0)

    def robot(self, base: Array, floor: float) -> Mounted:
        """The robot to film at its base, painted, perhaps with something in its hand."""
        mounted = self.mount(Mounted(self.entry, "r/", base, floor))
        rng = self.rng
        if rng.uniform() < 0.35 and not self.calm:
            grip = self.spec.site("r/g0/grip_site")
            body = grip.parent.add_body(name="held", pos=grip.pos)
            body.quat = rng.normal(size=4)
            self.thing(body, rng.uniform(0.04, 0.13), prefix="held")
        return mounted

    def second_robot(self, room: float) -> Mounted:
        """Another robot on a pedestal of its own, behind or beside the first, turned anyhow."""
        rng = self.rng
        entry = embodiment(str(rng.choice(companions(self.entry))))
        angle, away = rng.uniform(-np.pi, np.pi), min(rng.uniform(0.8, 1.4), room - 0.3)
        height = rng.uniform(0.0, 0.9)
        place = np.array([away * np.cos(angle), away * np.sin(angle), height])
        if height > 0.05:
            self.pedestal(height, place[:2])
        return self.mount(Mounted(entry, "s/", place, height), turn=rng.uniform(-np.pi, np.pi))

    def mount(self, robot: Mounted, turn: float = 0.0) -> Mounted:
        """Adds a robot, turned about the vertical by `turn` (radians) and painted."""
        spec = assets.robot_spec(robot.entry)
        if not self.calm:
            repaint(spec, self.rng)
        frame = self.spec.worldbody.add_frame(pos=robot.base, quat=[np.cos(turn / 2), 0, 0, np.sin(turn / 2)])
        self.spec.attach(spec, prefix=robot.prefix, frame=frame)
        return robot


def repaint(spec: Any, rng: np.random.Generator) -> None:
    """Gives a robot other colours in 60 % of the draws: one paint, two tones, per link, or all alike."""
    style = str(rng.choice(["original", "paint", "tones", "links", "mono"], p=[0.4, 0.2, 0.15, 0.1, 0.15]))
    gloss = rng.uniform(0.1, 0.9, 2)
    materials = {material.name: material for material in spec.materials}
    for material in materials.values():
        material.specular, material.shininess = gloss

    def colour() -> Array:
        if rng.uniform() < 0.7:
            return np.clip(_PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.8, 1.1) + rng.normal(0, 0.03, 3), 0, 1)
        return random_colour(rng)

    if style == "original":
        return
    paints = [colour() for _ in range(3)]
    keep_dark = rng.uniform() < 0.6
    for order, body in enumerate(spec.bodies):
        link_paint = colour()
        for geom in body.geoms:
            original = np.array(geom.rgba[:3])
            if geom.material in materials and np.allclose(original, 0.5):
                original = np.array(materials[geom.material].rgba[:3])
            dark = original.max() < 0.35
            if dark and keep_dark and style != "mono":
                new = original
            elif style == "links":
                new = link_paint
            elif style == "tones":
                new = paints[order % 2]
            else:
                new = paints[1] if dark else paints[0]
            geom.rgba = [*np.where(np.isclose(new, 0.5), 0.51, new), 1]


def build_scene(
    name: str, seed: int, evaluation: bool, side: tuple[int, int], shadows: bool = True, calm: bool = False
) -> Scene:
    """Compiles a random world around the embodiment `name`; same arguments, same world.

    `side` is the largest (width, height) to be drawn; `evaluation` picks the textures that training never
    sees; `calm` keeps the robot's own colours, unobstructed.
    """
    rng = np.random.default_rng([seed, 1])
    entry = embodiment(name)
    builder = SceneBuilder(entry, rng, evaluation, side, calm)
    room = builder.room()
    height, base = builder.table()
    builder.clutter(height)
    occluders = builder.occluders(int(rng.integers(1, 4)) if rng.uniform() < 0.35 and not calm else 0)
    builder.lights(shadows)
    robots = [builder.robot(base, height)]
    if rng.uniform() < SECOND_ROBOTS and not calm:
        robots.append(builder.second_robot(room))
    if not evaluation and not calm and rng.uniform() < WORKSTATIONS:
        add_workstation(builder, base, height, _PAINTS)
    model = builder.spec.compile()
    return Scene(
        model=model,
        robots=robots,
        labels=part_labels(model, robots),
        room=room,
        occluders=[model.body(occluder).id for occluder in occluders],
    )


def part_labels(model: Any, robots: list[Mounted]) -> NDArray[np.uint8]:
    """Look-up table (ngeom,) from geom id to part label, decided by the chain of bodies above each geom."""
    parts = np.zeros(model.nbody, np.uint8)
    for body in range(1, model.nbody):
        chain, link = [], body
        while link > 0:
            chain.append(model.body(link).name)
            link = int(model.body_parentid[link])
        for robot in robots:
            if chain[0].startswith(robot.prefix):
                inner = [name.removeprefix(robot.prefix) for name in chain]
                parts[body] = assets.body_part(inner[0], inner[1:], robot.entry)
    return parts[model.geom_bodyid]
