"""Learning rates by name and depth."""

import torch

from robotseg_ros.model.config import preset
from robotseg_ros.model.network import RobotSeg
from robotseg_ros.training.optimiser import build_optimiser, freeze, rate_of, set_rate, trunk_depths
from robotseg_ros.training.settings import OptimiserSettings


def test_the_longest_prefix_decides():
    settings = OptimiserSettings(rates={"image_encoder": 0.2, "image_encoder.neck": 0.5})
    assert rate_of("image_encoder.trunk.stem.0.weight", settings) == 0.2
    assert rate_of("image_encoder.neck.convs.0.conv.weight", settings) == 0.5
    assert rate_of("no_mem_embed", settings) == 1.0


def test_depth_counts_blocks_from_the_trunks_end():
    names = ["patch_embed.proj.weight", "pos_embed", "blocks.0.attn.qkv.weight", "blocks.1.mlp.layers.0.weight"]
    hiera = trunk_depths([f"image_encoder.trunk.{name}" for name in names] + ["no_mem_embed"])
    assert list(hiera.values()) == [2, 2, 1, 0]
    names = ["stem.0.weight", "levels.0.0.filter.0.weight", "levels.1.0.expand.0.weight", "levels.1.1.project.1.bias"]
    names += ["top_down.narrow.0.0.weight", "top_down.blocks.0.0.filter.0.weight"]
    mobile = trunk_depths([f"image_encoder.trunk.{name}" for name in names])
    assert list(mobile.values()) == [3, 2, 1, 0]  # the way back down is as fast as the last block


def test_every_parameter_is_in_one_group_with_its_rate():
    network = RobotSeg(preset("robotseg_nano"))
    settings = OptimiserSettings(rates={"image_encoder.trunk": 0.1, "sam_prompt_encoder": 0.0}, layer_decay=0.9)
    optimiser = build_optimiser([network], settings)
    grouped = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    assert len(grouped) == len(set(map(id, grouped))) == len(list(network.parameters()))
    set_rate(optimiser, 2.0)
    scale_of = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    trunk = network.image_encoder.trunk
    last = scale_of[id(trunk.levels[4][3].project[0].weight)]
    assert last == 0.2 and scale_of[id(trunk.levels[4][2].project[0].weight)] == 0.2 * 0.9
    assert scale_of[id(trunk.stem[0].weight)] < last * 0.9**16
    decays = {
        group["weight_decay"]
        for group in optimiser.param_groups
        if any(p is trunk.stem[1].bias for p in group["params"])
    }
    assert decays == {0.0}


def test_frozen_parameters_are_left_out():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    optimiser = build_optimiser([layer], OptimiserSettings())
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 1


def test_a_rate_of_zero_stops_gradients_there_and_before_it():
    network = RobotSeg(preset("robotseg_nano"))
    early = ("image_encoder.trunk.stem", "image_encoder.trunk.levels.0")
    freeze([network], OptimiserSettings(rates=dict.fromkeys(early, 0.0)))
    features = network.encode_image(torch.rand(1, 3, network.config.image_size, network.config.image_size))
    features.tokens.sum().backward()
    with_gradient = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert "image_encoder.trunk.levels.1.0.expand.0.weight" in with_gradient
    assert not any(name.startswith(early) for name in with_gradient)
