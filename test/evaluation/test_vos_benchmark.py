"""Our J and F against the reference implementation, on the same folders."""

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
