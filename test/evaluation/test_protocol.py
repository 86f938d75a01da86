"""Clicks from true masks, and the settings' way through a clip, with a segmenter whose answers are known."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robotseg_ros.dataset.clip import Frame
from robotseg_ros.evaluation.clicks import box_of, correction_click, first_click
from robotseg_ros.evaluation.protocol import SETTINGS, score_clip

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def square(side: int = 20, low: int = 5, high: int = 15) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[low:high, low:high] = True
    return mask


@settings(deadline=None)
@given(MASKS)
def test_the_first_click_is_on_the_mask_and_the_box_around_it(mask):
    click, box = first_click(mask), box_of(mask)
    if not mask.any():
        assert click is None and box is None
        return
    assert mask[int(click[1]), int(click[0])] and click[2] == 1
    inside = np.zeros_like(mask)
    inside[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
    assert (mask <= inside).all()


@settings(deadline=None)
@given(MASKS, st.randoms(use_true_random=False))
def test_a_correction_lies_in_the_error_and_says_what_is_true(true, random):
    predicted = np.array([random.random() < 0.5 for _ in range(true.size)]).reshape(true.shape)
    click = correction_click(predicted, true)
    if (predicted == true).all():
        assert click is None
        return
    row, column = int(click[1]), int(click[0])
    assert predicted[row, column] != true[row, column] and click[2] == true[row, column]


def test_the_correction_is_the_middle_of_the_largest_error():
    true = square()
    predicted = true.copy()
    predicted[5:15, 5:12] = False  # 70 pixels are missing
    predicted[0:2, 0:2] = True  # 4 are too many
    x, y, label = correction_click(predicted, true)
    assert label == 1 and 7 <= x <= 10 and 8 <= y <= 12


@dataclass
class Answer:
    masks: dict


@dataclass
class Recorder:
    """Answers `wrong` until a part got `needed` prompts, then the truth; writes down what it is asked."""

    true: np.ndarray
    needed: int = 0
    asked: list = field(default_factory=list)
    steps: int = 0

    def prompt(self, part, **given):
        self.asked.append((self.steps, part, given))

    def step(self, rgb):
        self.steps += 1
        return Answer({"robot": self.true if len(self.asked) >= self.needed else np.zeros_like(self.true)})


def clip(frames: int = 4) -> list[Frame]:
    picture = np.zeros((20, 20, 3), np.uint8)
    return [Frame(index, index, picture, {"robot": square()}) for index in range(frames)]


def run(setting: str, needed: int) -> tuple:
    made = []
    score = score_clip(
        "clip", clip(), lambda: made.append(Recorder(square(), needed)) or made[-1], SETTINGS[setting], ["robot"]
    )
    return score, made[0]


def test_automatic_asks_for_nothing():
    score, stream = run("automatic", 0)
    assert stream.asked == [] and stream.steps == 4
    assert score.means("robot") == (1.0, 1.0) and score.j["robot"].shape == (4,)


def test_three_clicks_are_given_one_by_one_on_the_first_frame():
    score, stream = run("3clicks", 3)
    assert [len(given["points"]) for _, _, given in stream.asked] == [1, 2, 3]
    assert stream.steps == 3 + 3 and (score.j["robot"] == 1).all()


def test_a_box_is_given_once():
    _, stream = run("box", 1)
    assert [given for _, _, given in stream.asked] == [{"box": (5.0, 5.0, 15.0, 15.0)}]


def test_interactive_corrects_poor_frames_and_stops_at_its_limit():
    score, stream = run("interactive", 3)  # the first frame's click, two corrected frames
    assert len(stream.asked) == 3
    assert score.j["robot"].tolist() == [0.0, 0.0, 1.0, 1.0]
    _, never = run("interactive", 99)
    assert len(never.asked) == 1 + 3


def test_frames_without_truth_do_not_count():
    frames = clip()
    frames[1] = Frame(1, 1, frames[1].image, None)
    score = score_clip("clip", frames, lambda: Recorder(square()), SETTINGS["automatic"], ["robot"])
    assert np.isnan(score.j["robot"][1]) and score.means("robot")[0] == pytest.approx(1.0)
