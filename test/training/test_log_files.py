"""A run's CSV files: rows with different columns, and what a killed run leaves in them."""

import numpy as np

from robotseg_ros.training.curves import read_columns, smoothed
from robotseg_ros.training.log_files import append_row, keep_rows


def test_rows_of_other_columns_stay_in_line(tmp_path):
    path = tmp_path / "losses.csv"
    append_row(path, {"step": 0, "dice": 1.0, "dense": 2.0})
    append_row(path, {"step": 1, "dice": 3.0, "patch": 4.0, "dense": 5.0})
    append_row(path, {"step": 2, "dense": 6.0, "dice": 7.0})
    columns = read_columns(path)
    assert list(columns) == ["step", "dice", "dense", "patch"]
    np.testing.assert_array_equal(columns["dense"], [2, 5, 6])
    np.testing.assert_array_equal(columns["patch"], [np.nan, 4, np.nan])


def test_what_comes_again_and_what_is_cut_off_is_taken_out(tmp_path):
    path = tmp_path / "losses.csv"
    for step in range(4):
        append_row(path, {"step": step, "dice": 0.5})
    path.write_text(path.read_text() + "4")
    keep_rows(path, 2)
    assert path.read_text().split() == ["step,dice", "0,0.5", "1,0.5"]
    keep_rows(tmp_path / "none.csv", 2)
    assert [file.name for file in tmp_path.iterdir()] == ["losses.csv"]


def test_curves_go_on_over_steps_without_a_value():
    np.testing.assert_allclose(smoothed(np.array([1.0, np.nan, 3.0]), share=1.0), [1, 2, 3])
    assert np.isnan(smoothed(np.array([np.nan, 1.0]))[0])
