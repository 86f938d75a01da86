"""The trainer end to end on tiny clips: it learns, resumes exactly, and its smaller networks share the weights."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from robotseg_ros.model import build_network
from robotseg_ros.model.adapter import load_adapter
from robotseg_ros.model.checkpoint import load_checkpoint, read_weights, save_checkpoint
from robotseg_ros.model.config import preset
from robotseg_ros.model.network import RobotSeg
from robotseg_ros.resources import config_dir
from robotseg_ros.runtime import prepare
from robotseg_ros.training import prompts
from robotseg_ros.training.curves import read_columns
from robotseg_ros.training.parallel import Peers
from robotseg_ros.training.resized import resized
from robotseg_ros.training.rollout import encode, stream, with_mask
from robotseg_ros.training.schedule import Schedule
from robotseg_ros.training.settings import (
    ClipSettings,
    ComputeSettings,
    DataSettings,
    OptimiserSettings,
    PromptSettings,
    ScheduleSettings,
    SettingsError,
    TrainSettings,
    read_settings,
)
from robotseg_ros.training.trainer import Trainer, TrainingError, initial_network

SCHEDULE = ScheduleSettings(
    steps=4, sides=((0.0, 64),), image_fraction=0.5, image_batch=2, video_batch=1, warmup_steps=1, epoch_steps=2
)


@pytest.fixture
def settings(tmp_path, write_clip):
    torch.set_num_threads(1)
    for split in ("train", "val"):
        write_clip(tmp_path / split, "clip")
    data = DataSettings(str(tmp_path / "train"), str(tmp_path / "val"), str(tmp_path / "cache"), 64, 48, workers=0)
    return TrainSettings(
        output=str(tmp_path / "run"),
        data=data,
        schedule=SCHEDULE,
        clips=ClipSettings(3, 2),
        compute=ComputeSettings(threads=1),
    )


def test_a_run_killed_and_resumed_ends_with_the_same_weights(settings, tmp_path):
    whole = Trainer(settings)
    assert whole.run().finished
    broken = replace(settings, output=str(tmp_path / "broken"))
    first = Trainer(broken)
    first._rescan()
    first._epoch()
    first.save()
    resumed = Trainer(broken, resume=True)
    assert resumed.progress.step == 2 and resumed.run().finished
    for name, tensor in whole.averaged.network.state_dict().items():
        assert torch.equal(tensor, resumed.averaged.network.state_dict()[name]), name


def test_a_run_leaves_weights_logs_and_pictures(settings):
    trainer = Trainer(settings)
    trainer.run()
    names = {path.name for path in trainer.output.iterdir()}
    assert names >= {"weights.safetensors", "state.pt", "validation.csv", "image_losses.csv", "video_losses.csv"}
    assert (
        "validation_000002.png" in names
        and "curves.png" in names
        and "structure" in (trainer.output / "video_losses.csv").read_text()
    )


def test_steps_that_come_again_are_logged_once(settings):
    first = Trainer(settings)
    first._rescan()
    first.save()
    first._epoch()
    Trainer(settings, resume=True).run()
    columns = [read_columns(first.output / f"{kind}_losses.csv")["step"] for kind in ("image", "video")]
    assert sorted(np.concatenate(columns)) == [0, 1, 2, 3]
    assert read_columns(first.output / "validation.csv")["step"].tolist() == [2, 4]


def test_an_epoch_is_saved_once_it_is_validated(settings, monkeypatch):
    """So that a run killed meanwhile validates it when it is resumed."""
    run = Trainer(replace(settings, schedule=replace(SCHEDULE, checkpoint_minutes=0.0)))
    saved = []
    monkeypatch.setattr(
        run, "save", lambda: saved.append((run.progress.step, (run.output / "validation.csv").exists()))
    )
    run.run()
    assert saved == [(1, False), (2, True), (3, True), (4, True)]


def test_a_signal_ends_the_run_after_a_step_and_is_not_lost_while_processes_meet(settings, monkeypatch):
    run = Trainer(settings)
    average = Peers().average

    def interrupted(modules, seconds, stop):
        agreed = average(modules, seconds, stop)
        signal.raise_signal(signal.SIGTERM)
        return agreed

    monkeypatch.setattr(Peers, "average", lambda self, *given: interrupted(*given))
    before = signal.getsignal(signal.SIGTERM)
    assert not run.run().finished and run.progress.step == 2
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.undo()
    assert Trainer(settings, resume=True).run().finished


def test_a_state_of_another_configuration_is_refused(settings):
    Trainer(settings).save()
    for other in (
        replace(settings, adapter_rank=4),
        replace(settings, optimiser=OptimiserSettings(rates={"image_encoder": 0.0})),
    ):
        with pytest.raises(
            TrainingError, match="run: its state is of a run with another model or other trained layers"
        ):
            Trainer(other, resume=True)


def test_a_full_disk_leaves_the_state_before(settings):
    run = Trainer(settings)
    run.save()
    (run.output / "state.pt.partial").symlink_to("/dev/full")
    run.progress.step = 1
    with pytest.raises(OSError, match="run: step 1 cannot be saved .*; what was saved before is whole"):
        run.save()
    assert Trainer(settings, resume=True).progress.step == 0


def test_no_validation_is_wanted_with_no_clips_for_it(settings):
    run = Trainer(replace(settings, schedule=replace(SCHEDULE, steps=1, val_clips=0)))
    assert run.run().finished and not (run.output / "validation.csv").exists()


@pytest.mark.parametrize("batch", ["image_batch", "video_batch"])
def test_a_batch_that_processes_cannot_share_is_refused(settings, monkeypatch, batch):
    monkeypatch.setattr("robotseg_ros.training.trainer.join_peers", lambda device: Peers(0, 2))
    schedule = replace(SCHEDULE, **{"image_batch": 2, "video_batch": 2, batch: 3})
    with pytest.raises(TrainingError, match=f"schedule.{batch} 3 cannot be shared by 2 processes"):
        Trainer(replace(settings, schedule=schedule))


def test_a_folder_with_a_run_is_not_overwritten(settings):
    trainer = Trainer(settings)
    trainer.save()
    with pytest.raises(TrainingError, match="holds a run already"):
        Trainer(settings)


def test_no_clips_is_an_error_that_names_the_folder(settings, tmp_path):
    nothing = replace(settings, data=replace(settings.data, train=str(tmp_path / "none"), cache=str(tmp_path / "c")))
    with pytest.raises(TrainingError, match="none: no complete clip"):
        Trainer(nothing).run()


def test_the_resized_network_shares_every_weight():
    network = RobotSeg(preset("robotseg_nano"))
    small = resized(network, 64)
    assert small.config.image_size == 64
    for (name, mine), (_, shared) in zip(small.named_parameters(), network.named_parameters(), strict=True):
        assert mine is shared, name
    assert small.state_dict().keys() == network.state_dict().keys()


def test_gradients_reach_the_first_frame_through_the_memory():
    network = resized(RobotSeg(preset("robotseg_nano")), 64)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    encoded = encode(network, images, bf16=False)
    encoded.tokens.retain_grad()
    outputs = stream(network, encoded, (0, 1, 0))
    assert [len(output.structure) > 0 for output in outputs] == [False, True, True]
    assert outputs[1].all_logits.shape == (3, 3, 16, 16)
    outputs[1].all_logits.sum().backward()
    assert encoded.tokens.grad is not None and encoded.tokens.grad[0].abs().sum() > 0


def test_a_run_without_structure_gives_a_network_that_needs_no_edges(settings, tmp_path):
    run = Trainer(replace(settings, structure=False))
    run.run()
    trained = build_network("robotseg_nano", run.output / "weights.safetensors")
    assert all(layer.structure_strength == 0 for layer in trained.memory_attention.layers)
    assert not prepare(trained).memory_attention.uses_edges
    again = replace(
        settings, initial_checkpoint=str(run.output / "weights.safetensors"), output=str(tmp_path / "again")
    )
    network = initial_network(again)
    assert not network.memory_attention.uses_edges  # closed gates stay closed
    assert not resized(network, 64).memory_attention.uses_edges


def test_random_pixels_are_spread_over_what_is_there():
    rng = np.random.default_rng(0)
    there = torch.zeros(3, 8, 8, dtype=torch.bool)
    there[0, 2, 3] = there[0, 7, 7] = there[1] = True
    drawn = [prompts.random_pixels(rng, there) for _ in range(1500)]
    points = torch.stack([pixels for pixels, _ in drawn])
    assert {tuple(point) for point in points[:, 0].tolist()} == {(3.5, 2.5), (7.5, 7.5)}
    assert len({tuple(point) for point in points[:, 1].tolist()}) == 64
    assert (points[:, 2] == 0).all() and drawn[0][1].tolist() == [True, True, False]


def test_a_part_whose_first_mask_is_lost_is_remembered_as_not_seen():
    network = resized(RobotSeg(preset("robotseg_nano")), 64)
    images = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    output = stream(network, encode(network, images, bf16=False), (0,))[0]
    masks = torch.zeros(3, 1, 16, 16)
    masks[0, 0, 2:5, 3:9] = 1
    wrong = with_mask(output, masks, network.no_obj_ptr)
    assert torch.equal(wrong.low_res_logits > 0, masks > 0)
    assert torch.equal(wrong.pointer[0], output.pointer[0]) and torch.equal(wrong.pointer[1], network.no_obj_ptr[0])
    assert (wrong.object_score[1:] < 0).all() and wrong.object_score[0] == output.object_score[0]


def test_prompts_lie_on_their_masks():
    rng = np.random.default_rng(0)
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, 0, 4:12, 20:28] = 1
    point, box = prompts.point_prompt(rng, masks), prompts.box_prompt(rng, masks, slack=0.0)
    x, y = point.points[0, 0].long().tolist()
    assert masks[0, 0, y, x] == 1
    assert box.points[0].tolist() == [[20, 4], [28, 12]] and box.labels[0].tolist() == [2, 3]
    assert point.labels[1].tolist() == [-1] and box.labels[1].tolist() == [-1, -1]
    assert not torch.equal(prompts.perturbed(rng, masks), masks)


@pytest.mark.parametrize(
    "video, expected",
    [
        (True, {"none": 0.4, "point": 0.2, "box": 0.2, "mask": 0.2}),
        (False, {"none": 0.6, "point": 0.2, "box": 0.2, "mask": 0.0}),
    ],
)
def test_prompts_come_with_the_published_probabilities(video, expected):
    rng = np.random.default_rng(0)
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., 2:5, 2:5] = 1
    counts = dict.fromkeys(expected, 0)
    for _ in range(4000):
        prompt = prompts.sample_prompt(rng, PromptSettings(), masks, video)
        if prompt is None:
            counts["none"] += 1
        elif prompt.mask is not None:
            counts["mask"] += 1
            assert torch.equal(prompt.mask, masks)
        else:
            counts[{1: "point", 2: "box"}[prompt.points.shape[1]]] += 1
    assert {kind: count / 4000 for kind, count in counts.items()} == pytest.approx(expected, abs=0.025)


def test_the_schedule_warms_up_decays_and_changes_phase_and_size():
    schedule = Schedule(
        ScheduleSettings(max_minutes=10, warmup_steps=10, image_fraction=0.5, sides=((0.0, 64), (0.5, 128))),
        OptimiserSettings(learning_rate=1.0, final_fraction=0.1),
    )
    assert schedule.progress(5, 300) == 0.5
    assert schedule.learning_rate(0, 0.0) == pytest.approx(0.1)
    assert schedule.learning_rate(100, 1.0) == pytest.approx(0.1)
    assert not schedule.is_video(4, 0.4) and schedule.is_video(4, 0.5) and not schedule.is_video(5, 0.5)
    assert [schedule.side(done, 256) for done in (0.0, 0.5, 1.0)] == [64, 128, 128]


def test_settings_name_what_they_do_not_know(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("schedule: {steps: 3, stepz: 4}")
    with pytest.raises(SettingsError, match="stepz"):
        read_settings(path)
    path.write_text("schedule: {steps: 3, max_minutes: 4}")
    with pytest.raises(SettingsError, match="exactly one"):
        read_settings(path)
    path.write_text("schedule: {steps: 3, sides: [[0, 128]]}\noptimiser: {learning_rate: 1e-3}")
    assert read_settings(path).schedule.sides == ((0, 128),)
    assert read_settings(path).optimiser.learning_rate == 1e-3


@pytest.mark.parametrize("path", sorted((config_dir() / "training").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configurations_can_be_used(path):
    settings = read_settings(path)
    preset(settings.model)
    Schedule(settings.schedule, settings.optimiser)


@pytest.mark.parametrize("recipe", ["finetune", "adapter"])
def test_the_published_network_is_fine_tuned_by_the_recipes(settings, tmp_path, recipe):
    """On weights of its form; on pictures of 64 pixels, so that a CPU can."""
    torch.manual_seed(0)
    published = RobotSeg(preset("robotseg"))
    torch.save({"model": published.state_dict()}, tmp_path / "robotseg.pt")
    given = read_settings(config_dir() / "training" / f"{recipe}.yaml")
    given = replace(given, model="robotseg", initial_checkpoint=str(tmp_path / "robotseg.pt"), output=settings.output)
    schedule = replace(SCHEDULE, steps=2, warmup_steps=0, video_every=1)
    run = Trainer(replace(given, data=settings.data, schedule=schedule, compute=settings.compute))
    assert run.run().finished
    assert {path.name for path in run.output.iterdir()} >= {"image_losses.csv", "video_losses.csv", "validation.csv"}
    if recipe == "adapter":
        load_adapter(published, run.output / "weights.safetensors")
        return
    before = published.state_dict()
    load_checkpoint(published, run.output / "weights.safetensors")
    assert sum(not torch.equal(tensor, before[name]) for name, tensor in run.network.state_dict().items()) > 400


def test_an_adapters_run_moves_the_adapter_alone(settings, tmp_path):
    base = RobotSeg(preset("robotseg_nano"))
    save_checkpoint(base, tmp_path / "base.safetensors")
    run = Trainer(replace(settings, initial_checkpoint=str(tmp_path / "base.safetensors"), adapter_rank=4))
    run.run()
    trained = run.network.state_dict()
    for name, tensor in base.state_dict().items():
        assert torch.equal(trained[name], tensor), name
    written = read_weights(run.output / "weights.safetensors")
    assert "tokens.up.weight" in written and written["tokens.up.weight"].abs().sum() > 0
    load_adapter(base, run.output / "weights.safetensors")
    assert (run.output / "weights.safetensors").stat().st_size < 50_000


def test_a_refiners_run_moves_the_refiner_alone(settings, tmp_path):
    base = RobotSeg(preset("robotseg_nano"))
    torch.nn.init.constant_(base.sam_mask_decoder.pred_obj_score_head.layers[2].bias, 10.0)  # every part is found
    save_checkpoint(base, tmp_path / "base.safetensors")
    rates = OptimiserSettings(rates={"": 0.0, "refiner": 1.0})
    run = Trainer(replace(settings, initial_checkpoint=str(tmp_path / "base.safetensors"), optimiser=rates))
    run.run()
    before = base.state_dict()
    moved = {name for name, tensor in run.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if name.startswith("refiner.")}
