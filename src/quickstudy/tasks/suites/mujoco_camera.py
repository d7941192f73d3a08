"""A camera for simulations on MuJoCo, with or without a screen. Importing this needs MuJoCo.

Gymnasium's own renderer is not used. Without a screen it picks a library that fails, and its pictures have shadows,
reflections and four samples a pixel, which takes ten times longer where the processor draws them.
"""

import ctypes
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from jaxtyping import UInt8

from quickstudy.protocol.errors import UsageError

WIDTH, HEIGHT = 480, 360
"""Pixels of a picture; a video shows it smaller, which smooths edges."""

HEADLESS = (("libEGL.so.1", "mujoco.egl"), ("libOSMesa.so.8", "mujoco.osmesa"))
"""Libraries that draw without a screen, and the module of MuJoCo that opens each; the first that is installed is used."""

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_PLAIN = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)


class MujocoCamera:
    """A `Camera` on a simulation. It changes nothing in it that a step depends on.

    Args:
      simulation: `() -> ` an object with the present `model` and `data`; called before every picture, as environments replace
        them.
      view: the name of one of the model's cameras.
      turned: whether this camera is mounted upside down, so that its pictures must be turned.
    """

    def __init__(self, simulation: Callable[[], Any], *, view: str, turned: bool = False):
        self._simulation, self._view, self._turned = simulation, view, turned
        self._model: Any = None

    def take(self, observation: Any) -> UInt8[np.ndarray, "360 480 3"]:
        """A picture of the present state.

        Raises:
          UsageError: there is no OpenGL to draw with.
        """
        del observation
        simulation = self._simulation()
        if simulation.model is not self._model:
            self.close()
            self._aim(simulation.model)
        # Positions are computed in a copy: in the simulation itself they must stay as the last step left them.
        mujoco.mj_getState(self._model, simulation.data, self._state, _STATE)
        mujoco.mj_setState(self._model, self._copy, self._state, _STATE)
        mujoco.mj_fwdPosition(self._model, self._copy)
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, self._copy, self._shown, None, self._place, everything, self._scene)
        for effect in _PLAIN:
            self._scene.flags[effect] = 0
        self._opengl.make_current()
        picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        whole = mujoco.MjrRect(0, 0, WIDTH, HEIGHT)
        mujoco.mjr_render(whole, self._scene, self._drawn)
        mujoco.mjr_readPixels(picture, None, whole, self._drawn)
        return picture[:, ::-1] if self._turned else picture[::-1]  # OpenGL's first line is the lowest

    def close(self) -> None:
        """Frees the renderer."""
        if self._model is not None:
            self._drawn.free()
            self._opengl.free()
            self._model = None

    def _aim(self, model: Any) -> None:
        """Prepares the renderer for a model."""
        model.vis.quality.shadowsize = model.vis.quality.offsamples = 0
        model.vis.global_.offwidth, model.vis.global_.offheight = WIDTH, HEIGHT
        self._opengl, self._drawn = _opened(model)
        self._copy, self._shown = mujoco.MjData(model), mujoco.MjvOption()
        self._state = np.empty(mujoco.mj_stateSize(model, _STATE))
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + model.nsite + 1000)
        self._place = mujoco.MjvCamera()
        self._place.type, self._place.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, model.camera(self._view).id
        self._model = model


def _opened(model: Any) -> tuple[Any, Any]:
    """An OpenGL context, and the renderer of a model in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GLFW warns of the same error that it raises
            opengl = _kind()(WIDTH, HEIGHT)
            opengl.make_current()
            drawn = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, drawn)
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"MuJoCo finds no OpenGL to draw with ({said}). Without a screen, on Debian and Ubuntu: apt-get install "
            "--no-install-recommends libegl1 libgl1-mesa-dri libopengl0; and leave MUJOCO_GL unset, or set it to egl."
        ) from error
    return opengl, drawn


def _kind() -> Callable[[int, int], Any]:
    """The class of OpenGL contexts that MUJOCO_GL or the system selects; without a screen, the first that works."""
    screen = sys.platform != "linux" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if screen or os.environ.get("MUJOCO_GL"):
        return importlib.import_module("mujoco.gl_context").GLContext
    for library, opens in HEADLESS:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return importlib.import_module(opens).GLContext
    raise OSError("neither EGL nor OSMesa is installed")
