"""What the node holds from configure to cleanup: the models, the inference thread and a stream per camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from rclpy.node import Node

from . import batching
from .camera_stream import CameraStream
from .loaded_model import LoadedModel, load, release
from .parameters import Settings
from .self_filter import filter_waiting
from .worker import Worker

# How long a caller waits for the frame in work; the slowest model on a CPU takes a few seconds for one.
FRAME_PATIENCE_S = 20.0
UNANSWERED = f"no frame was finished within {FRAME_PATIENCE_S:.0f} s"

Result = TypeVar("Result")


class Pipeline:
    """Cameras that name the same weights and adapter share one model."""

    def __init__(self, node: Node, settings: Settings, on_crash: Callable[[Exception], None]) -> None:
        """Loads the models, which takes seconds. Raises `ValueError` or `OSError` for settings that cannot be met."""
        self.models: list[LoadedModel] = []
        self.streams: list[CameraStream] = []
        self._node = node
        self._worker = Worker(batching.segment, on_crash)
        self._filter = Worker(filter_waiting, on_crash, "self filter")
        self._worker.start()
        self._filter.start()
        try:
            self._load(settings)
        except BaseException:
            self.free()
            raise

    def _load(self, settings: Settings) -> None:
        cameras: dict[tuple[str, ...], list[str]] = {}
        for name in settings.cameras:
            own = settings.of_camera(name)
            cameras.setdefault((own.model, own.checkpoint, own.adapter), []).append(name)
        for names in cameras.values():
            own = settings.of_camera(names[0])
            self._node.get_logger().info(f"loading model {own.model} on device {own.device} ...")
            model = self._worker.call(partial(load, own, len(names), self._node.context.ok)).result()
            self.models.append(model)
            for name in names:
                self.streams.append(self._new_stream(name, model, settings.of_camera(name)))
        self.streams.sort(key=lambda stream: settings.cameras.index(stream.name))
        for stream in self.streams:
            self._worker.serve(stream)
            for topic in stream.self_filter.topics:
                self._filter.serve(topic)

    def _new_stream(self, name: str, model: LoadedModel, settings: Settings) -> CameraStream:
        return CameraStream(self._node, name, model, settings, self._worker.ready, self._filter.ready)

    def open(self) -> None:
        """Subscribes to the images of all cameras, or to none where one raises."""
        try:
            for stream in self.streams:
                stream.open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unsubscribes and forgets; when this returns, the last mask and all that is made by it is out."""
        for stream in self.streams:
            stream.close()
        for stream in self.streams:
            self._worker.call(stream.forget).result(FRAME_PATIENCE_S)
        self._filter.call(lambda: None).result(FRAME_PATIENCE_S)

    def follow(self) -> None:
        """Sees to it that every part has its topic, and that what cameras give beside images is subscribed to while
        somebody wants what is made of it."""
        for stream in self.streams:
            stream.follow_parts()
            if stream.is_open:
                stream.follow()

    def apply(self, settings: Settings) -> None:
        """Takes over what may change while running, before the next frame. Raises `ValueError`, and has changed nothing,
        where an adapter does not fit."""
        for stream in self.streams:
            wanted, model = settings.of_camera(stream.name).adapter, stream.model
            if model.adapter != wanted:
                self._worker.call(partial(model.take_adapter, wanted)).result(FRAME_PATIENCE_S)
        for stream in self.streams:
            if stream.settings.adapter != settings.of_camera(stream.name).adapter:
                self._worker.call(partial(stream.restart, "another adapter"))
        for stream in self.streams:
            self._worker.call(partial(stream.apply, settings.of_camera(stream.name)))

    def named(self, camera: str) -> CameraStream:
        """The stream of a camera; of the only one where no name is given. Raises `ValueError`."""
        found = [stream for stream in self.streams if stream.name == camera or (not camera and len(self.streams) == 1)]
        if not found:
            names = ", ".join(stream.name for stream in self.streams)
            raise ValueError(f"there is no camera {camera!r}; name one of: {names or 'the only one, by an empty name'}")
        return found[0]

    def between_frames(self, action: Callable[[CameraStream], Result], streams: Sequence[CameraStream]) -> list[Result]:
        """Has the inference thread do something to each of the streams.

        Raises what the action does, and `TimeoutError` or `CancelledError` (of concurrent.futures) where the thread is
        busy for too long or ends.
        """
        return [self._worker.call(partial(action, stream)).result(FRAME_PATIENCE_S) for stream in streams]

    def stop(self) -> bool:
        """Ends the threads; the ROS context may be gone already. False where one hangs."""
        ended = [worker.stop(FRAME_PATIENCE_S) for worker in (self._worker, self._filter)]
        return all(ended)

    def free(self) -> None:
        """Ends everything and gives the memory back."""
        for stream in self.streams:
            stream.close()
        self.stop()
        for stream in self.streams:
            stream.destroy()
        devices = {model.device for model in self.models}
        self.streams, self.models = [], []
        for device in devices:
            release(device)
