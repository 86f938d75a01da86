"""Replay and recorder as real processes over DDS: nothing lost, stamps and bytes kept, clear refusals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robotseg_ros.dataset.bags import BagWriter, header_stamp, list_topics

START_NS = 1_700_000_000 * 10**9
STEP_NS = 50_000_000
FRAMES = 30
IMAGE, MASK = "/eye/image", "/truth/arm"
RAW = "sensor_msgs/msg/Image"

Message = tuple[str, int, bytes]


def write_bag(path: Path, frames: int = FRAMES, step_ns: int = STEP_NS) -> Path:
    """Images of 640 x 480, as a camera sends them, with a small mask each."""
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    with BagWriter(path) as bag:
        for index in range(frames):
            stamp = START_NS + index * step_ns
            bag.write_image(IMAGE, np.roll(noise, index, axis=1), stamp, "eye")
            bag.write_compressed(MASK, bytes([index]) * (index + 1), "png", stamp, "eye")
    return path


def messages(bag: Path) -> list[Message]:
    """All messages. DDS pads them to whole words, so the zeros at their ends do not count."""
    from rosbags.rosbag2 import Reader

    with Reader(bag) as reader:
        return sorted((c.topic, t, bytes(cdr).rstrip(b"\0")) for c, t, cdr in reader.messages())


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("played") / "bag")


@pytest.fixture
def start(ros_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`start("replay", bag=..., rate=...)`: the process, stopped after the test."""
    from robotseg_ros.ros.processes import NodeProcess, stop_all

    processes: list[NodeProcess] = []

    def run(name: str, **parameters: Any) -> NodeProcess:
        log = tmp_path / f"{name}-{len(processes)}.log"
        processes.append(NodeProcess(f"robotseg_ros.ros.{name}", name, parameters, log=log))
        return processes[-1]

    yield run
    stop_all(processes)
    for process in processes:
        print(f"--- {process.name}, exit code {process.exit_code}\n{process.tail(50)}")


def finished(process: Any, seconds: float = 60.0) -> int | None:
    """The exit code of a process that must end by itself."""
    if not process.wait(seconds):
        pytest.fail(f"{process.name} did not end within {seconds} s:\n{process.tail()}")
    return process.exit_code


def record(start: Callable[..., Any], bag: Path, out: Path, **replay: Any) -> list[Message]:
    """Replay into a recorder that releases it when both topics are matched; what the recorder wrote."""
    topics = [IMAGE, MASK]
    recorder = start("recorder", bag=str(out), topics=topics, when_ready="/replay/resume")
    replayed = start("replay", bag=str(bag), start_paused=True, wait_for=topics, **replay)
    assert finished(replayed) == 0
    assert recorder.stop() == 0
    return messages(out)


def test_what_is_recorded_is_what_was_played_under_the_original_stamps(
    start: Callable[..., Any], bag: Path, tmp_path: Path
) -> None:
    assert record(start, bag, tmp_path / "out") == messages(bag)


def test_faster_than_real_time_loses_nothing_either(start: Callable[..., Any], bag: Path, tmp_path: Path) -> None:
    assert record(start, bag, tmp_path / "out", rate=10.0) == messages(bag)


def test_the_recording_is_a_whole_bag_with_types_and_compressed(
    start: Callable[..., Any], bag: Path, tmp_path: Path
) -> None:
    record(start, bag, tmp_path / "out", rate=10.0)
    assert list_topics(tmp_path / "out") == list_topics(bag)
    assert (tmp_path / "out" / "metadata.yaml").is_file()
    assert b"zstd" in (tmp_path / "out" / "out.mcap").read_bytes()


def test_recording_by_time_of_arrival_keeps_the_stamps_within(
    start: Callable[..., Any], bag: Path, tmp_path: Path
) -> None:
    before = time.time_ns()
    recorder = start("recorder", bag=str(tmp_path / "out"), topics=[IMAGE], time="receive",
                     when_ready="/replay/resume")  # fmt: skip
    assert finished(start("replay", bag=str(bag), topics=[IMAGE], start_paused=True, wait_for=[IMAGE])) == 0
    assert recorder.stop() == 0
    recorded = messages(tmp_path / "out")
    assert all(before < arrival < time.time_ns() for _, arrival, _ in recorded)
    assert sorted(header_stamp(cdr) for _, _, cdr in recorded) == [START_NS + i * STEP_NS for i in range(FRAMES)]


class Listener:
    """A node in the test that keeps what comes."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("listener", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def keep(self, kind: type[Any], topic: str, qos: Any) -> list[Any]:
        kept: list[Any] = []
        self.node.create_subscription(kind, topic, kept.append, qos)
        return kept

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds} s for {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def listener(ros_env: dict[str, str]) -> Iterator[Listener]:
    node = Listener()
    yield node
    node.close()


def seconds_of(stamp: Any) -> float:
    return stamp.sec + stamp.nanosec * 1e-9


def test_a_message_is_due_as_long_after_the_first_as_it_was_recorded_divided_by_the_rate() -> None:
    from robotseg_ros.ros.replay import Pace

    now = [100.0]
    pace = Pace(rate=2.0, now=lambda: now[0])
    assert pace.remaining(START_NS) == 0.0
    assert pace.remaining(START_NS + 4 * 10**9) == pytest.approx(2.0)
    now[0] += 3.0
    assert pace.remaining(START_NS + 4 * 10**9) == pytest.approx(-1.0)
    assert pace.bag_time() == START_NS + 6 * 10**9
    pace.shift(5.0)  # a pause
    assert pace.remaining(START_NS + 4 * 10**9) == pytest.approx(4.0)
    pace.restart()  # a loop
    assert pace.remaining(START_NS) == 0.0


def test_messages_come_in_order_and_the_clock_runs_with_them(
    start: Callable[..., Any], listener: Listener, bag: Path
) -> None:
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CompressedImage

    masks = listener.keep(CompressedImage, MASK, 100)
    clock = listener.keep(Clock, "/clock", 1000)
    start("replay", bag=str(bag), topics=[MASK], wait_for=[MASK], clock=True)
    listener.until(lambda: len(masks) == FRAMES, "all masks")
    stamps = [seconds_of(message.header.stamp) for message in masks]
    assert stamps == pytest.approx([(START_NS + i * STEP_NS) * 1e-9 for i in range(FRAMES)])
    times = [seconds_of(message.clock) for message in clock]
    assert times == sorted(times)
    assert START_NS * 1e-9 - 1e-6 <= times[0] < times[-1]


def test_a_loop_starts_again_with_the_first_stamp(
    start: Callable[..., Any], listener: Listener, tmp_path: Path
) -> None:
    from sensor_msgs.msg import CompressedImage

    masks = listener.keep(CompressedImage, MASK, 100)
    start(
        "replay",
        bag=str(write_bag(tmp_path / "short", 3)),
        topics=[MASK],
        wait_for=[MASK],
        loop=True,
        rate=5.0,
    )
    listener.until(lambda: len(masks) > 6, "the third round")
    stamps = [seconds_of(message.header.stamp) for message in masks]
    assert stamps[:3] == stamps[3:6] == sorted(stamps[:3])


def test_a_pause_stops_and_resume_goes_on_with_the_next_message(
    start: Callable[..., Any], listener: Listener, bag: Path
) -> None:
    from sensor_msgs.msg import CompressedImage
    from std_srvs.srv import Trigger

    def call(service: str) -> None:
        client = listener.node.create_client(Trigger, service)
        listener.until(client.service_is_ready, service)
        future = client.call_async(Trigger.Request())
        listener.until(future.done, f"the answer of {service}")
        assert future.result().success

    masks = listener.keep(CompressedImage, MASK, 100)
    replay = start("replay", bag=str(bag), topics=[MASK], wait_for=[MASK])
    listener.until(lambda: masks, "the first mask")
    call("/replay/pause")
    seen = len(masks)
    end = time.monotonic() + 1.0
    listener.until(lambda: time.monotonic() > end, "a second of silence")
    assert len(masks) <= seen + 1 < FRAMES  # one may have been on its way
    call("/replay/resume")
    listener.until(lambda: len(masks) == FRAMES, "the rest")
    assert finished(replay) == 0


def test_a_recorder_takes_what_a_best_effort_publisher_offers(
    start: Callable[..., Any], listener: Listener, tmp_path: Path
) -> None:
    from diagnostic_msgs.msg import DiagnosticStatus
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from std_msgs.msg import String

    from robotseg_ros.ros.progress import QOS, values_of

    words = listener.keep(DiagnosticStatus, "/recorder/progress", QOS)
    publisher = listener.node.create_publisher(
        String, "/word", QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    recorder = start("recorder", bag=str(tmp_path / "out"), topics=["/word"])
    listener.until(lambda: words and words[-1].message == "recording", "the recorder to be ready")
    publisher.publish(String(data="hello"))
    listener.until(lambda: values_of(words[-1])["received /word"] == "1", "the recorder to have it")
    assert recorder.stop() == 0
    assert [cdr for _, _, cdr in messages(tmp_path / "out")] == [b"\0\1\0\0\6\0\0\0hello"]


def test_a_missing_bag_is_refused_by_its_path(start: Callable[..., Any], tmp_path: Path) -> None:
    replay = start("replay", bag=str(tmp_path / "none"))
    assert finished(replay) == 1
    assert f"{tmp_path / 'none'}" in replay.tail()


def test_a_topic_that_the_bag_lacks_is_refused_with_those_it_has(start: Callable[..., Any], bag: Path) -> None:
    replay = start("replay", bag=str(bag), topics=["/ear/sound"])
    assert finished(replay) == 1
    assert "/ear/sound" in replay.tail() and f"{IMAGE} ({RAW})" in replay.tail()


def test_a_replay_that_nobody_listens_to_gives_up_and_says_so(start: Callable[..., Any], bag: Path) -> None:
    replay = start("replay", bag=str(bag), wait_for=[IMAGE], wait_timeout=1.0)
    assert finished(replay) == 1
    assert f"listeners on {IMAGE}" in replay.tail() and "ROS_DOMAIN_ID" in replay.tail()


def test_a_recording_never_overwrites(start: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    recorder = start("recorder", bag=str(tmp_path / "out"), topics=[IMAGE])
    assert finished(recorder) == 1
    assert "exists already" in recorder.tail()


def test_a_recorder_without_topics_says_what_it_needs(start: Callable[..., Any], tmp_path: Path) -> None:
    recorder = start("recorder", bag=str(tmp_path / "out"))
    assert finished(recorder) == 1
    assert "topics" in recorder.tail()
