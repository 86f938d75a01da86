"""Repeated messages are held back by kind, and told of."""

from __future__ import annotations

from robotseg_ros.ros.throttled_log import ThrottledLog


class Log:
    """A logger and a clock in one."""

    def __init__(self):
        self.said, self.now = [], 100.0

    def error(self, text):
        self.said.append(text)

    warning = error

    def clock(self):
        return self.now


def test_a_kind_of_message_is_logged_once_per_period_with_the_number_held_back():
    log = Log()
    throttled = ThrottledLog(log, period=5.0, clock=log.clock)
    for size in range(10):
        throttled.error(f"refused 'rgb{size}' of {size} bytes")
    throttled.warning("something else")
    log.now += 5.0
    throttled.error("refused 'rgb7' of 123 bytes")
    assert log.said == [
        "refused 'rgb0' of 0 bytes",
        "something else",
        "refused 'rgb7' of 123 bytes (9 more like this before)",
    ]


def test_endless_kinds_of_messages_take_no_endless_memory():
    log = Log()
    throttled = ThrottledLog(log, clock=log.clock)
    for n in range(1000):
        throttled.error("x" * n)
    assert len(throttled._last) <= 100
