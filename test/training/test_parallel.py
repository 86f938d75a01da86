"""Several processes training one network take the same step, and the same decisions."""

import subprocess
import sys

from robotseg_ros.training.parallel import Peers

SCRIPT = """
import torch
from robotseg_ros.training.parallel import join_peers

peers = join_peers("cpu")
layer = torch.nn.Linear(1, 1)
norm = torch.nn.BatchNorm2d(1)
for parameter in layer.parameters():
    parameter.grad = torch.full_like(parameter, 1.0 + peers.rank)
norm.running_mean.fill_(4.0 * peers.rank)
seconds, stop = peers.average([layer, norm], seconds=10.0 + peers.rank, stop=peers.rank == 1)
assert layer.weight.grad.item() == layer.bias.grad.item() == 1.5
assert norm.running_mean.item() == 2.0
assert seconds == 10.0 and stop
assert peers.agree(7 + peers.rank) == 7
print("agreed")
"""


def test_two_processes_average_gradients_and_agree(tmp_path):
    script = tmp_path / "peers.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("agreed") == 2


def test_one_process_needs_no_other():
    assert Peers().average([], seconds=3.0, stop=True) == (3.0, True)
    assert Peers().agree(5) == 5
