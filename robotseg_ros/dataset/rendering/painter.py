"""Draws a posed scene off screen: colours, the part each pixel belongs to, or how far away it is."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import assets
from .scene import Scene

_MAX_GEOMS = 2000


_contexts: dict[tuple[int, int], Any] = {}


def gl_context(width: int, height: int) -> Any:
    """The process's one OpenGL context, EGL and else OSMesa; raises MissingAssets when neither works."""
    mujoco = assets.import_mujoco()
    if (width, height) not in _contexts:
        try:
            _contexts[width, height] = mujoco.GLContext(width, height)
        except Exception as error:
            raise assets.MissingAssets(
                f"no headless OpenGL with MUJOCO_GL={os.environ.get('MUJOCO_GL')} ({error}); "
                "install libegl1 libegl-mesa0 libgl1-mesa-dri, or libosmesa6 and set MUJOCO_GL=osmesa"
            ) from error
    _contexts[width, height].make_current()
    return _contexts[width, height]


class Painter:
    """An offscreen context for one model, drawing colours and parts at any size up to the model's buffer."""

    def __init__(self, scene: Scene):
        self.mj = assets.import_mujoco()
        model = scene.model
        self.scene, self.model = scene, model
        self.gl = gl_context(model.vis.global_.offwidth, model.vis.global_.offheight)
        self.context = self.mj.MjrContext(model, self.mj.mjtFontScale.mjFONTSCALE_50)
        self.context.readDepthMap = self.mj.mjtDepthMap.mjDEPTH_ZEROFAR
        self.mj.mjr_setBuffer(self.mj.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        self.view = self.mj.MjvScene(model, _MAX_GEOMS)
        self.options = self.mj.MjvOption()
        self.options.sitegroup[:] = 0
        self.camera = self.mj.MjvCamera()
        self.data: Any = None

    def close(self) -> None:
        """Frees the context's textures and buffers."""
        self.context.free()

    def pose(self, data: Any, position: NDArray[np.float64], quaternion: NDArray[np.float64], fovy: float) -> None:
        """Takes the robot's state from `data` and sets the camera for the drawing that follows."""
        turn = np.zeros(9)
        self.mj.mju_quat2Mat(turn, quaternion)
        self.mj.mj_camlight(self.model, data)
        self.camera.type = self.mj.mjtCamera.mjCAMERA_FREE
        self.mj.mjv_updateScene(
            self.model, data, self.options, None, self.camera, self.mj.mjtCatBit.mjCAT_ALL, self.view
        )
        near, far = self.model.vis.map.znear, self.model.vis.map.zfar
        top = near * np.tan(np.radians(fovy) / 2)
        for eye in self.view.camera:
            eye.pos, eye.forward, eye.up = position, -turn[2::3], turn[1::3]
            eye.frustum_near, eye.frustum_far = near, far
            eye.frustum_bottom, eye.frustum_top, eye.frustum_center, eye.frustum_width = -top, top, 0, 0

    def _read(self, width: int, height: int) -> NDArray[np.uint8]:
        window = self.mj.MjrRect(0, 0, width, height)
        self.mj.mjr_render(window, self.view, self.context)
        pixels = np.empty((height, width, 3), np.uint8)
        self.mj.mjr_readPixels(pixels, None, window, self.context)
        return pixels[::-1]

    def image(self, width: int, height: int, shadows: bool) -> NDArray[np.uint8]:
        """RGB image (height, width, 3)."""
        flags, flag = self.view.flags, self.mj.mjtRndFlag
        flags[flag.mjRND_SHADOW], flags[flag.mjRND_SEGMENT], flags[flag.mjRND_IDCOLOR] = shadows, 0, 0
        return self._read(width, height)

    def parts(self, width: int, height: int) -> NDArray[np.uint8]:
        """Part labels (height, width): 0 background, 1 arm, 2 gripper, 3 robot of no known part."""
        flags, flag = self.view.flags, self.mj.mjtRndFlag
        flags[flag.mjRND_SHADOW], flags[flag.mjRND_SEGMENT], flags[flag.mjRND_IDCOLOR] = 0, 1, 1
        pixels = self._read(width, height).astype(np.int32)
        table = np.zeros(_MAX_GEOMS + 1, np.uint8)
        is_geom = int(self.mj.mjtObj.mjOBJ_GEOM)
        for shown in self.view.geoms[: self.view.ngeom]:
            if shown.objtype == is_geom:
                table[shown.segid + 1] = self.scene.labels[shown.objid]
        return table[pixels[..., 0] + (pixels[..., 1] << 8) + (pixels[..., 2] << 16)]

    def depth(self, width: int, height: int) -> NDArray[np.float32]:
        """Distance along the camera's axis in metres (height, width); the far plane's where there is nothing."""
        flags, flag = self.view.flags, self.mj.mjtRndFlag
        flags[flag.mjRND_SHADOW], flags[flag.mjRND_SEGMENT], flags[flag.mjRND_IDCOLOR] = 0, 0, 0
        window = self.mj.MjrRect(0, 0, width, height)
        self.mj.mjr_render(window, self.view, self.context)
        buffer = np.empty((height, width), np.float32)
        self.mj.mjr_readPixels(None, buffer, window, self.context)
        near, far = self.model.vis.map.znear, self.model.vis.map.zfar
        return (near * far / (near + buffer[::-1] * (far - near))).astype(np.float32)
