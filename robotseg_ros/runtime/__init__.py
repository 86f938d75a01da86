"""How a network is executed on this machine: which device, which precision. The model is never edited for it."""

from .device import DeviceError, select_device
from .precision import PRECISIONS, prepare

__all__ = ["PRECISIONS", "DeviceError", "prepare", "select_device"]
