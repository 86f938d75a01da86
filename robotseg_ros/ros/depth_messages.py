"""Depth images, point clouds and calibrations: messages to arrays, and messages that lack or hold only the robot."""

from __future__ import annotations

import array

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from ..geometry import Camera, CloudLayout, Depth, GeometryError, Mask, blank, without
from .conversions import bytes_of, describe

# Pixel types of REP 118; some drivers call millimetres mono16.
_DEPTH_TYPES = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
_POINT_TYPES = {
    PointField.INT8: "i1",
    PointField.UINT8: "u1",
    PointField.INT16: "i2",
    PointField.UINT16: "u2",
    PointField.INT32: "i4",
    PointField.UINT32: "u4",
    PointField.FLOAT32: "f4",
    PointField.FLOAT64: "f8",
}


def depth_of(message: Image) -> Depth:
    """The depth, uint16 or float32 (H, W), in this machine's byte order. Raises GeometryError."""
    kind = _DEPTH_TYPES.get(message.encoding)
    if kind is None:
        raise GeometryError(f"{describe(message)} is no depth; accepted are {', '.join(_DEPTH_TYPES)}")
    stored = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    row = message.width * stored.itemsize
    if message.step < row or len(message.data) < message.step * (message.height - 1) + row or not message.height * row:
        raise GeometryError(f"{describe(message)} is truncated or empty: a row has {row} bytes")
    pixels = np.ndarray((message.height, message.width), stored, message.data, strides=(message.step, stored.itemsize))
    return pixels.astype(kind, copy=False)


def depth_without(message: Image, robot: Mask) -> Image:
    """The depth image with nothing where `robot`, bool (H, W), is; its header unchanged. Raises GeometryError."""
    depth = without(depth_of(message), robot)
    made = Image(header=message.header, height=message.height, width=message.width, encoding=message.encoding)
    made.step = depth.strides[0]
    made.data = bytes_of(depth)
    return made


def camera_of(info: CameraInfo, rectified: bool) -> Camera:
    """The camera that made the image. Raises GeometryError.

    K is of the full sensor; binning and the region of interest lead to the image's pixels.
    """
    matrix = np.array(info.p).reshape(3, 4)[:, :3] if rectified else np.array(info.k).reshape(3, 3)
    matrix = matrix.astype(np.float64)
    binning = max(1, info.binning_x), max(1, info.binning_y)
    matrix[:2, 2] -= info.roi.x_offset, info.roi.y_offset
    matrix[:2] /= np.array(binning, np.float64)[:, None]
    height, width = info.roi.height or info.height, info.roi.width or info.width
    coefficients = () if rectified else tuple(map(float, info.d))
    if not np.isfinite([*matrix.ravel(), *coefficients]).all():
        used = "P" if rectified else "K or D"
        raise GeometryError(f"camera_info has values in {used} that are no numbers: the camera is not calibrated")
    return Camera((height // binning[1], width // binning[0]), matrix, coefficients, info.distortion_model)


def layout_of(cloud: PointCloud2) -> CloudLayout:
    """Where the fields are. Raises GeometryError for a field of no known type, and for x, y or z twice.

    Other fields without a name, or that share one, are padding of some drivers, and left out.
    """
    unknown = [field.name for field in cloud.fields if field.datatype not in _POINT_TYPES]
    if unknown:
        raise GeometryError(f"the cloud's field {', '.join(unknown)} has a datatype that sensor_msgs/PointField lacks")
    names = [field.name for field in cloud.fields]
    if any(names.count(axis) > 1 for axis in "xyz"):
        raise GeometryError(f"a point needs one x, y and z each; this cloud has the fields {', '.join(names)}")
    known = [field for field in cloud.fields if field.name and names.count(field.name) == 1]
    fields = tuple((f.name, f.offset, _POINT_TYPES[f.datatype], max(1, f.count)) for f in known)
    return CloudLayout(cloud.height, cloud.width, fields, cloud.point_step, cloud.row_step, bool(cloud.is_bigendian))


def cloud_without(cloud: PointCloud2, chosen: Mask) -> PointCloud2:
    """The cloud without the chosen points, bool (height, width); its header and fields unchanged. Raises GeometryError.

    An organised cloud keeps its shape and gets NaN there; of another the points are taken out.
    """
    layout = layout_of(cloud)
    points = layout.points(cloud.data)
    made = PointCloud2(header=cloud.header, fields=cloud.fields, is_bigendian=cloud.is_bigendian)
    made.point_step = cloud.point_step
    if layout.organised:
        data = array.array("B")
        data.frombytes(memoryview(cloud.data).cast("B"))
        blank(layout.points(data), chosen)
        made.height, made.width, made.row_step, made.is_dense = cloud.height, cloud.width, cloud.row_step, False
    else:
        # As opaque bytes, since NumPy copies structured points field by field.
        whole = points.view(f"V{cloud.point_step}") if points.size else points
        kept = whole[~chosen]
        data = bytes_of(kept.view(np.uint8))
        made.height, made.width, made.row_step, made.is_dense = 1, kept.size, kept.nbytes, cloud.is_dense
    made.data = data
    return made
