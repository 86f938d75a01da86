"""Our J and F against the reference implementation, on the same folders."""

import json
import shutil

import cv2
import numpy as np
import pytest

from robotseg_ros.evaluation.measures import boundary_f, jaccard

pytest.importorskip("skimage", reason="vos-benchmark needs scikit-image")
reference = pytest.importorskip("vos_benchmark.benchmark", reason="vos-benchmark is not installed (make setup does)")


def blobs(rng, height, width):
    """Smooth random shapes, never empty."""
    noise = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), rng.uniform(2, 8))
    return noise > np.quantile(noise, rng.uniform(0.5, 0.95))


@pytest.mark.parametrize("skip", [True, False])
def test_j_and_f_are_those_of_vos_benchmark(tmp_path, skip):
    rng = np.random.default_rng(5)
    expected = {}
    for clip, (height, width) in {"a": (60, 80), "b": (97, 131), "c": (240, 320)}.items():
        scores = []
        for index in range(6):
            true = blobs(rng, height, width)
            made = (
                true
                if index == 2
                else np.roll(true, tuple(rng.integers(-6, 7, 2)), (0, 1))
                ^ (blobs(rng, height, width) & (rng.uniform() < 0.3))
            )
            scores.append((jaccard(made, true), boundary_f(made, true)))
            for kind, mask in (("true", true), ("made", made)):
                path = tmp_path / kind / clip / f"{index:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), mask.astype(np.uint8))
        expected[clip] = np.mean(scores[1:-1] if skip else scores, axis=0)
    found = reference.VideoEvaluator(str(tmp_path / "true"), str(tmp_path / "made"), skip)
    for clip, (j, f) in expected.items():
        _, reference_j, reference_f = found(clip)
        assert abs(100 * j - reference_j[1]) < 1e-6 and abs(100 * f - reference_f[1]) < 1e-6, clip
        assert 5 < 100 * j < 95


@pytest.mark.parametrize("protocol", ["video", "image"])
def test_the_command_scores_folders_as_vos_benchmark_does(moving_arm, tmp_path, protocol):
    """From the files to the means over clips: the way that another system's masks go."""
    from robotseg_ros.cli.main import main

    dataset, predicted = moving_arm.write(tmp_path / "dataset", frames=6), moving_arm.predict(tmp_path / "pred", 3, 6)
    more = ["--images"] if protocol == "image" else []
    command = ["evaluate", str(dataset), "--predictions", str(predicted), "-o", str(tmp_path / "out"), *more]
    assert main(command) == 0
    rows = {row["part"]: row for row in json.loads((tmp_path / "out" / "scores.json").read_text())["scores"]}
    for part, folder in moving_arm.folders.items():
        true, made = tmp_path / "true" / part, tmp_path / "made" / part
        for clip in ("one", "two"):
            shutil.copytree(dataset / "mask_gt" / clip / folder, true / clip)
            shutil.copytree(predicted / clip / folder, made / clip)
        jf, j, f, _ = reference.benchmark(
            [str(true)], [str(made)], num_processes=1, verbose=False, skip_first_and_last=protocol == "video"
        )
        found = [100 * rows[part][name] for name in ("j_and_f", "j", "f")]
        assert np.abs(np.array(found) - [jf[0], j[0], f[0]]).max() < 1e-6, part
        assert 5 < j[0] < 95
