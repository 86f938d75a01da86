"""Several processes that train one network, each on its share of a batch (`torchrun`); one process needs none of it.

Two processes of one thread are faster on two cores than one process of two, by far so when other work runs beside them:
they wait for each other once a step, not once an operation.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Peers:
    """This process' place among `size` processes."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """True for the one process that validates and writes files."""
        return self.rank == 0

    def average(self, modules: Sequence[nn.Module], seconds: float, stop: bool) -> tuple[float, bool]:
        """Replaces gradients and batch statistics by their means. Returns the leader's seconds, and whether any stops,
        so that all take the same decisions."""
        if self.size == 1:
            return seconds, stop
        tensors = [p.grad for module in modules for p in module.parameters() if p.grad is not None]
        buffers = [entry for module in modules for entry in module.named_buffers()]
        tensors += [buffer for name, buffer in buffers if name.endswith(("running_mean", "running_var"))]
        news = torch.tensor([seconds if self.leads else 0.0, float(stop)])
        flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors] + [news.to(tensors[0].device)])
        dist.all_reduce(flat)
        _spread(tensors, flat[:-2] / self.size)
        return float(flat[-2]), bool(flat[-1] > 0)

    def agree(self, value: int) -> int:
        """The leader's value, once every process has come here."""
        if self.size == 1:
            return value
        shared = torch.tensor([value])
        dist.broadcast(shared, 0)
        return int(shared[0])


@torch.no_grad()
def _spread(tensors: list[Tensor], flat: Tensor) -> None:
    offset = 0
    for tensor in tensors:
        tensor.copy_(flat[offset : offset + tensor.numel()].view(tensor.shape))
        offset += tensor.numel()


def join_peers(device: str) -> Peers:
    """The processes that torchrun started, or this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Peers()
    if device != "cpu":
        # Each process has its own GPU; "cuda" means that one from here on.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        # What is agreed on is on the CPU, gradients are where the network is.
        dist.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl")
        atexit.register(_leave)
    return Peers(dist.get_rank(), size)


def _leave() -> None:
    """Ends the group while Python still runs: its threads, left to the end of the process, abort it now and then."""
    if dist.is_initialized():
        dist.destroy_process_group()
