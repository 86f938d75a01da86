"""SAM 2.1 in our harness gives what the sam2 package's own video predictor gives: random weights, a small input."""

import numpy as np
import pytest
import torch
from PIL import Image

from robotseg_ros.evaluation.baseline import CONFIG, Sam2Stream, sam2_tiny

SIDE, FRAMES = 256, 3
BOX, POINT = (12.0, 8.0, 40.0, 36.0), (25.0, 20.0)


@pytest.fixture(scope="module")
def network():
    """Initialised so that its masks are neither empty nor full."""
    torch.manual_seed(0)
    made = sam2_tiny(None, torch.device("cpu"), SIDE)
    for layer in made.sam_mask_decoder.output_hypernetworks_mlps.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.reset_parameters()
    made.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return made


@pytest.fixture(scope="module")
def predictor(network):
    from sam2.build_sam import build_sam2_video_predictor

    overrides = ["++model.binarize_mask_from_pts_for_mem_enc=true", f"++model.image_size={SIDE}"]
    overrides += [f"++model.sam_mask_decoder_extra_args.dynamic_multimask_{word}" for word in (
        "via_stability=true", "stability_delta=0.05", "stability_thresh=0.98")]  # fmt: skip
    made = build_sam2_video_predictor(CONFIG, None, "cpu", hydra_overrides_extra=overrides, apply_postprocessing=False)
    made.load_state_dict(network.state_dict())
    return made


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder of JPEGs, and what is in them."""
    folder = tmp_path_factory.mktemp("clip")
    noise = np.random.default_rng(0).integers(0, 90, (48, 64, 3), dtype=np.uint8)
    for index in range(FRAMES):
        picture = noise.copy()
        picture[10:35, 15 + 3 * index : 35 + 3 * index] = (200, 60, 30)
        Image.fromarray(picture).save(folder / f"{index:05d}.jpg")
    return folder, [np.array(Image.open(path)) for path in sorted(folder.iterdir())]


def given(kind):
    """Arguments for our stream and for the predictor."""
    if kind == "mask":
        mask = np.zeros((48, 64), bool)
        mask[10:35, 15:35] = True
        return {"mask": mask}, {"mask": mask}
    if kind == "box":
        return {"box": BOX}, {"box": np.array(BOX)}
    return {"points": [POINT], "labels": [1]}, {"points": np.array([POINT]), "labels": np.array([1])}


@pytest.mark.parametrize("kind", ["click", "box", "mask"])
def test_masks_are_those_of_the_packages_own_predictor(network, predictor, clip, kind):
    folder, pictures = clip
    ours, theirs = given(kind)
    stream = Sam2Stream(network, ["arm", "robot"])
    stream.prompt("arm", **ours)
    made = [stream.step(picture) for picture in pictures]
    state = predictor.init_state(str(folder))
    (predictor.add_new_mask if kind == "mask" else predictor.add_new_points_or_box)(state, 0, 1, **theirs)
    expected = [logits[0, 0].numpy() > 0 for _, _, logits in predictor.propagate_in_video(state)]
    for index, (mine, reference) in enumerate(zip(made, expected, strict=True)):
        assert not mine.masks["robot"].any(), "nobody said where it is"
        assert 0.02 < reference.mean() < 0.98, "an empty or a full mask would prove little"
        assert (mine.masks["arm"] == reference).mean() > 0.99, index
