"""Depth images, clouds and calibrations as messages: what is read, what is refused, what comes out."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.ros

FIELDS = {"x": 0, "y": 4, "z": 8}
STEP = 16


def depth_message(values, encoding, padding=0, big=False):
    from sensor_msgs.msg import Image

    kind = np.dtype("u2" if encoding != "32FC1" else "f4").newbyteorder(">" if big else "<")
    rows = np.asarray(values, kind)
    message = Image(encoding=encoding, height=rows.shape[0], width=rows.shape[1], is_bigendian=int(big))
    message.step = rows.shape[1] * kind.itemsize + padding
    message.data = b"".join(row.tobytes() + b"\x55" * padding for row in rows)
    message.header.frame_id = "eye"
    return message


def cloud_message(xyz, organised=False):
    """A cloud of points (N, 3) or (H, W, 3), each followed by four bytes that number it."""
    from sensor_msgs.msg import PointCloud2, PointField

    xyz = np.asarray(xyz, np.float32)
    height, width = xyz.shape[:2] if xyz.ndim == 3 else (1, len(xyz))
    points = np.zeros((height, width), [("xyz", "<f4", 3), ("rgb", "<u4")])
    points["xyz"], points["rgb"] = xyz.reshape(height, width, 3), np.arange(height * width).reshape(height, width)
    message = PointCloud2(height=height, width=width, point_step=STEP, row_step=STEP * width, is_dense=True)
    message.fields = [PointField(name=n, offset=o, datatype=PointField.FLOAT32, count=1) for n, o in FIELDS.items()]
    message.fields.append(PointField(name="rgb", offset=12, datatype=PointField.UINT32, count=1))
    message.data = points.tobytes()
    message.header.frame_id = "eye"
    return message


def read(message):
    """Points and their numbers."""
    points = np.frombuffer(message.data, [("xyz", "<f4", 3), ("rgb", "<u4")])
    return points["xyz"], points["rgb"]


def info_message(**changes):
    from sensor_msgs.msg import CameraInfo

    info = CameraInfo(height=80, width=100, distortion_model="plumb_bob", d=[-0.1, 0.0, 0.0, 0.0, 0.0])
    info.k = np.array([80.0, 0, 50, 0, 80, 40, 0, 0, 1])
    info.p = np.array([70.0, 0, 51, 0, 0, 70, 41, 0, 0, 0, 1, 0])
    for name, value in changes.items():
        setattr(info, name, value)
    return info


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big", [False, True])
def test_depth_is_blanked_in_every_layout(encoding, padding, big):
    from robotseg_ros.ros.depth_messages import depth_of, depth_without

    values = np.arange(1, 13).reshape(3, 4) * 100
    robot = values % 300 == 0
    message = depth_message(values, encoding, padding, big)
    assert np.array_equal(depth_of(message), values)
    made = depth_without(message, robot)
    nothing = np.nan if encoding == "32FC1" else 0
    np.testing.assert_array_equal(depth_of(made), np.where(robot, nothing, values).astype(np.float64))
    assert (made.encoding, made.height, made.width) == (encoding, 3, 4)
    assert made.header == message.header


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda m: setattr(m, "encoding", "rgb8"), "is no depth; accepted are 16UC1"),
        (lambda m: m.data.pop(), "truncated or empty"),
        (lambda m: setattr(m, "step", 3), "truncated or empty"),
        (lambda m: setattr(m, "height", 0), "truncated or empty"),
    ],
)
def test_bad_depth_is_refused(spoil, reason):
    from robotseg_ros.geometry import GeometryError
    from robotseg_ros.ros.depth_messages import depth_of

    message = depth_message(np.ones((3, 4)), "16UC1")
    spoil(message)
    with pytest.raises(GeometryError, match=reason):
        depth_of(message)


def test_an_organised_cloud_keeps_its_shape_and_gets_nan():
    from robotseg_ros.ros.depth_messages import cloud_without

    xyz = np.random.default_rng(0).normal(size=(3, 4, 3))
    robot = np.arange(12).reshape(3, 4) % 5 == 0
    message = cloud_message(xyz)
    made = cloud_without(message, robot)
    points, numbers = read(made)
    assert (made.height, made.width, made.row_step, made.is_dense) == (3, 4, 4 * STEP, False)
    assert np.isnan(points).all(axis=1).tolist() == robot.ravel().tolist()
    np.testing.assert_array_equal(points[~robot.ravel()], xyz.reshape(-1, 3).astype(np.float32)[~robot.ravel()])
    assert numbers.tolist() == list(range(12))
    assert made.header == message.header and made.fields == message.fields
    assert not np.isnan(read(message)[0]).any()


def test_points_of_another_cloud_are_taken_out_whole():
    from robotseg_ros.ros.depth_messages import cloud_without

    message = cloud_message(np.arange(15).reshape(5, 3))
    made = cloud_without(message, np.array([[True, False, False, True, False]]))
    points, numbers = read(made)
    assert (made.height, made.width, made.row_step, made.is_dense) == (1, 3, 3 * STEP, True)
    assert numbers.tolist() == [1, 2, 4]
    assert points[:, 0].tolist() == [3, 6, 12]


def test_padding_without_a_name_of_its_own_goes_with_its_points():
    from sensor_msgs.msg import PointField

    from robotseg_ros.ros.depth_messages import cloud_without

    message = cloud_message(np.arange(15.0).reshape(5, 3))
    whole = bytes(message.data)
    message.fields += [PointField(name=name, offset=0, datatype=PointField.UINT8, count=1) for name in ("_", "_", "")]
    chosen = np.array([[True, False, True, False, False]])
    size = message.point_step
    assert bytes(cloud_without(message, chosen).data) == whole[size : 2 * size] + whole[3 * size :]


def test_an_empty_cloud_stays_empty():
    from robotseg_ros.ros.depth_messages import cloud_without

    assert cloud_without(cloud_message(np.zeros((0, 3))), np.zeros((1, 0), bool)).width == 0


def test_sensor_msgs_py_reads_the_same_points():
    point_cloud2 = pytest.importorskip("sensor_msgs_py.point_cloud2")
    from robotseg_ros.ros.depth_messages import cloud_without

    made = cloud_without(cloud_message(np.arange(15).reshape(5, 3)), np.array([[True, False, False, True, False]]))
    assert point_cloud2.read_points(made, ["x"])["x"].tolist() == [3, 6, 12]


def test_a_calibration_becomes_a_camera():
    from robotseg_ros.ros.depth_messages import camera_of

    camera = camera_of(info_message(), rectified=False)
    assert camera.shape == (80, 100) and camera.distorted and camera.matrix[0, 2] == 50
    rectified = camera_of(info_message(), rectified=True)
    assert not rectified.distorted and rectified.matrix[0].tolist() == [70, 0, 51]


def test_binning_and_region_of_interest_lead_to_the_images_pixels():
    from sensor_msgs.msg import RegionOfInterest

    from robotseg_ros.ros.depth_messages import camera_of

    roi = RegionOfInterest(x_offset=10, y_offset=20, width=60, height=40)
    camera = camera_of(info_message(binning_x=2, binning_y=2, roi=roi), rectified=False)
    assert camera.shape == (20, 30)
    assert camera.matrix.tolist() == [[40, 0, 20], [0, 40, 10], [0, 0, 1]]


# Which points are the robot's


@pytest.fixture
def self_filter(ros_env):
    import threading

    import rclpy

    from robotseg_ros.ros.parameter_file import description
    from robotseg_ros.ros.parameters import Settings
    from robotseg_ros.ros.self_filter import SelfFilter

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("filter_test", context=context)
    settings = Settings.of_values({spec.name: spec.default for spec in description().node})
    yield SelfFilter(node, "", settings, threading.Condition())
    node.destroy_node()
    context.shutdown()


class Transforms:
    """Stands in for tf2's buffer."""

    def lookup_transform(self, target, source, time):
        from geometry_msgs.msg import TransformStamped

        if source != "lidar":
            raise KeyError(f'"{source}" passed to lookupTransform argument source_frame does not exist')
        stamped = TransformStamped()
        # x ahead, y left, z up becomes z ahead, x right, y down; 0.5 m in front of the camera.
        rotation = stamped.transform.rotation
        rotation.x, rotation.y, rotation.z, rotation.w = 0.5, -0.5, 0.5, 0.5
        stamped.transform.translation.z = 0.5
        return stamped


def robot_mask(margin=0):
    from std_msgs.msg import Header

    from robotseg_ros.ros.self_filter import RobotMask

    exact = np.zeros((80, 100), bool)
    exact[30:50, 40:60] = True
    return RobotMask(Header(frame_id="eye"), exact, margin)


def on_robot(self_filter, message):
    mask = robot_mask()
    return self_filter._robot_points(message, mask, mask.exact)


def test_points_are_projected_through_the_calibration(self_filter):
    self_filter._receive_info(info_message(d=[]))
    message = cloud_message([(0, 0, 1), (0.3, 0, 1), (0.3, 0, 9), (0, 0, -1)])
    assert on_robot(self_filter, message).tolist() == [[True, False, True, False]]


def test_points_of_another_frame_are_moved_first(self_filter):
    self_filter._receive_info(info_message(d=[]))
    self_filter._transforms = Transforms()
    message = cloud_message([(0.5, 0, 0), (0.5, -0.3, 0), (0.5, 0, 0.3)])
    message.header.frame_id = "lidar"
    assert on_robot(self_filter, message).tolist() == [[True, False, False]]


def test_the_pixels_of_an_organised_cloud_are_the_masks(self_filter):
    message = cloud_message(np.ones((80, 100, 3)))
    assert on_robot(self_filter, message).sum() == 400


def test_an_organised_cloud_of_an_unknown_frame_is_taken_as_the_images(self_filter):
    message = cloud_message(np.ones((80, 100, 3)))
    message.header.frame_id = "zed_camera_frame"
    self_filter._transforms = Transforms()
    self_filter._receive_info(info_message())
    assert on_robot(self_filter, message).sum() == 400


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"height": 0, "width": 0, "step": 0, "data": b""}, "0 x 0 .*is truncated or empty"),
        ({"height": 2**32 - 1, "width": 2**32 - 1}, "4294967295 x 4294967295 .*is truncated or empty"),
        ({"encoding": "yuv9"}, "'yuv9'.* is no depth; accepted are 16UC1, mono16, 32FC1"),
    ],
)
def test_depth_of_an_impossible_size_is_refused_before_a_mask_is_fitted(wrong, reason):
    from robotseg_ros.geometry import GeometryError
    from robotseg_ros.ros.self_filter import filtered_depth

    message = depth_message(np.ones((3, 4)), "16UC1")
    for name, value in wrong.items():
        setattr(message, name, value)
    with pytest.raises(GeometryError, match=reason):
        filtered_depth(message, robot_mask(), True)


@pytest.mark.parametrize("field", ["k", "d"])
def test_a_calibration_that_is_no_number_is_refused(self_filter, field):
    from robotseg_ros.geometry import GeometryError

    info = info_message()
    setattr(info, field, [float("nan"), *list(getattr(info, field))[1:]])
    self_filter._receive_info(info)
    with pytest.raises(GeometryError, match="camera_info has values in K or D that are no numbers"):
        on_robot(self_filter, cloud_message([(0, 0, 1)]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cloud: setattr(cloud, "point_step", 0),
        lambda cloud: setattr(cloud, "data", cloud.data[:10]),
        lambda cloud: cloud.fields.append(cloud.fields[0]),
        lambda cloud: setattr(cloud.fields[0], "offset", 2**32 - 1),
        lambda cloud: setattr(cloud, "fields", []),
        lambda cloud: (setattr(cloud, "height", 2**32 - 1), setattr(cloud, "width", 2**32 - 1)),
    ],
    ids=["no step", "truncated", "a field twice", "a field outside", "no fields", "huge"],
)
def test_a_cloud_of_garbage_is_refused(self_filter, spoil):
    from robotseg_ros.geometry import GeometryError

    self_filter._receive_info(info_message())
    cloud = cloud_message(np.ones((5, 3)))
    spoil(cloud)
    with pytest.raises(GeometryError):
        on_robot(self_filter, cloud)


@pytest.mark.parametrize(
    ("frame", "info", "transforms", "reason"),
    [
        ("eye", False, True, "no camera_info has come on /camera_info"),
        ("lidar", True, False, "points are in 'lidar', the image in 'eye', and tf2_ros"),
        ("arm", True, True, "points are in 'arm', the image in 'eye': .*does not exist"),
    ],
)
def test_points_that_cannot_be_placed_are_refused(self_filter, frame, info, transforms, reason):
    from robotseg_ros.geometry import GeometryError

    if info:
        self_filter._receive_info(info_message())
    if transforms:
        self_filter._transforms = Transforms()
    message = cloud_message(np.ones((5, 3)))
    message.header.frame_id = frame
    with pytest.raises(GeometryError, match=reason):
        on_robot(self_filter, message)
