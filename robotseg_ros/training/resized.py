"""The same network for another input size, sharing every weight: early training on small pictures costs a fraction."""

from __future__ import annotations

from dataclasses import replace

from ..model.network import RobotSeg


def resized(network: RobotSeg, side: int) -> RobotSeg:
    """A network for (side, side) inputs whose parameters and saved buffers are those of `network`.

    No weight's shape depends on the input size; position tables do, and are the new network's own.
    """
    if side == network.config.image_size:
        return network
    other = RobotSeg(replace(network.config, image_size=side)).to(network.no_mem_embed.device)
    other.adapter = network.adapter
    for mine, theirs in zip(other.memory_attention.layers, network.memory_attention.layers, strict=True):
        mine.gated = theirs.gated
    for (_, mine), (_, shared) in zip(other.named_modules(), network.named_modules(), strict=True):
        for name in mine._parameters:
            mine._parameters[name] = shared._parameters[name]
        for name in mine._buffers:
            if name not in mine._non_persistent_buffers_set:
                mine._buffers[name] = shared._buffers[name]
    return other
