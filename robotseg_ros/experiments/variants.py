"""Copies of a network with one of its parts taken away: what that part is worth."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType

import torch
from torch import Tensor, nn

from ..model.network import ImageFeatures, RobotSeg
from ..model.rpg import RobotPromptGenerator

Variant = Callable[[RobotSeg], RobotSeg]


def unchanged(network: RobotSeg) -> RobotSeg:
    """The network itself."""
    return network


def without_edges(network: RobotSeg) -> RobotSeg:
    """SEMA's structure branch sees no edges: the edge map is zero."""
    changed = copy.deepcopy(network)
    encode = network.encode_image

    def encode_image(self: RobotSeg, images: Tensor, edges: bool = True) -> ImageFeatures:
        return encode(images, edges=False)

    changed.encode_image = MethodType(encode_image, changed)  # type: ignore[method-assign]
    return changed


def without_structure(network: RobotSeg) -> RobotSeg:
    """SEMA's gate is off: tokens are not strengthened by the structure map."""
    changed = copy.deepcopy(network)
    changed.memory_attention.close_gates()
    return changed


class _Objects(nn.Module):
    """Stands in for the RPG: its tokens, changed."""

    generator: RobotPromptGenerator

    def __init__(self, generator: RobotPromptGenerator, change: Callable[[Tensor], Tensor]):
        super().__init__()
        self.generator, self.change = generator, change

    def without_memory(self, batch: int) -> Tensor:
        return self.change(self.generator.without_memory(batch))

    def forward(self, memory: Tensor, foreground: Tensor) -> Tensor:
        return self.change(self.generator(memory, foreground))


def noise_for_objects(network: RobotSeg) -> RobotSeg:
    """Object tokens are unit vectors in random directions, the same for every run."""
    generator = torch.Generator().manual_seed(0)

    def noise(tokens: Tensor) -> Tensor:
        random = torch.randn(tokens.shape, generator=generator).to(tokens)
        return random / random.norm(dim=-1, keepdim=True) * tokens.norm(dim=-1, keepdim=True)

    return _with_objects(network, noise)


def class_token_alone(network: RobotSeg) -> RobotSeg:
    """The RPG gives no object tokens: the class token is the only prompt."""
    return _with_objects(network, lambda tokens: tokens[:, :0])


def object_tokens_alone(network: RobotSeg) -> RobotSeg:
    """Class tokens are zero: the network is told what to segment by its memory's object tokens only."""
    changed = copy.deepcopy(network)
    changed.sam_mask_decoder.robot_token_embedding.weight.data.zero_()
    return changed


def _with_objects(network: RobotSeg, change: Callable[[Tensor], Tensor]) -> RobotSeg:
    changed = copy.deepcopy(network)
    changed.robot_prompt_generator = _Objects(changed.robot_prompt_generator, change)  # type: ignore[assignment]
    return changed
