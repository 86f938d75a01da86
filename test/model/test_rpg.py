"""The prompt generator's clustering on cases whose answer is known, and its corner cases."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from robotseg_ros.model import preset
from robotseg_ros.model.rpg import RobotPromptGenerator, assign_to_centres, farthest_points

CONFIG = dataclasses.replace(preset("robotseg_nano"), image_size=96)
GRID, TOKENS, WIDTH = CONFIG.grid, CONFIG.tokens, CONFIG.memory_dim


@pytest.fixture
def generator() -> RobotPromptGenerator:
    torch.manual_seed(1)
    return RobotPromptGenerator(CONFIG).eval()


def _mask(*tokens: int) -> torch.Tensor:
    mask = torch.zeros(1, TOKENS, dtype=torch.bool)
    mask[0, list(tokens)] = True
    return mask


def test_points_are_spread_from_the_first_in_raster_order() -> None:
    line = torch.stack([torch.zeros(10), torch.arange(10.0)], dim=1)
    mask = torch.zeros(1, 10, dtype=torch.bool)
    mask[0, 2:9] = True
    assert farthest_points(line, mask, 3).tolist() == [[2, 8, 5]]


@pytest.mark.parametrize("tokens, expected", [((4,), [4, 4, 4]), ((4, 7), [4, 7, 4]), ((), [0, 0, 0])])
def test_too_few_tokens_repeat_the_first(tokens: tuple[int, ...], expected: list[int]) -> None:
    line = torch.stack([torch.zeros(TOKENS), torch.arange(float(TOKENS))], dim=1)
    assert farthest_points(line, _mask(*tokens), 3).tolist() == [expected]


def test_tokens_go_to_the_centre_of_their_direction() -> None:
    features = torch.tensor([[[5.0, 0.1], [0.2, 0.1], [0.0, 3.0]]])
    centres = torch.tensor([[[0.1, 0.0], [0.0, 9.0]]])
    assert assign_to_centres(features, centres).tolist() == [[0, 0, 1]]


def test_one_token_gives_its_own_feature_everywhere(generator: RobotPromptGenerator) -> None:
    memory = torch.randn(1, TOKENS, WIDTH)
    with torch.no_grad():
        tokens = generator(memory, _mask(8))
    expected = F.normalize(memory[0, 8], dim=0).repeat(CONFIG.prototypes_per_region)
    for region in tokens[0]:
        torch.testing.assert_close(region, expected)


def test_an_empty_foreground_gives_the_learned_vector(generator: RobotPromptGenerator) -> None:
    learned = generator.no_memory_prompt_embeddings_fg.weight[0]
    with torch.no_grad():
        tokens = generator(torch.randn(2, TOKENS, WIDTH), torch.cat([_mask(), _mask(3, 9, 20)]))
    assert torch.equal(tokens[0], learned.expand(CONFIG.regions, -1))
    assert not torch.equal(tokens[1], tokens[0])
    assert torch.equal(generator.without_memory(1)[0], learned.expand(CONFIG.regions, -1))


def test_rows_of_a_batch_do_not_touch_each_other(generator: RobotPromptGenerator) -> None:
    memory = torch.randn(3, TOKENS, WIDTH)
    foreground = torch.rand(3, TOKENS) > torch.tensor([[0.2], [0.6], [0.95]])
    with torch.no_grad():
        together = generator(memory, foreground)
        alone = torch.cat([generator(memory[i : i + 1], foreground[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)


def test_against_a_plain_loop(generator: RobotPromptGenerator) -> None:
    memory = torch.randn(1, TOKENS, WIDTH)
    foreground = torch.rand(1, TOKENS) > 0.4
    with torch.no_grad():
        tokens = generator(memory, foreground)
    torch.testing.assert_close(tokens[0], _plain(memory[0], foreground[0].nonzero()[:, 0]), rtol=1e-5, atol=1e-5)


def _plain(memory: torch.Tensor, foreground: torch.Tensor) -> torch.Tensor:
    """The paper's text, region by region."""
    groups = _cluster(memory, foreground, CONFIG.regions)
    rows = []
    for _, members in groups:
        region = members if len(members) else foreground
        prototypes = [
            memory[m].mean(dim=0) if len(m) else memory[centre]
            for centre, m in _cluster(memory, region, CONFIG.prototypes_per_region)
        ]
        rows.append(torch.cat([F.normalize(prototype, dim=0) for prototype in prototypes]))
    return torch.stack(rows)


def _cluster(memory: torch.Tensor, tokens: torch.Tensor, count: int) -> list[tuple[int, torch.Tensor]]:
    xy = torch.stack([torch.div(tokens, GRID, rounding_mode="floor"), tokens % GRID], dim=1).float()
    picked = [0]
    while len(picked) < count:
        distance = torch.stack([(xy - xy[p]).square().sum(1) for p in picked]).min(0).values
        picked.append(int(distance.argmax()))
    centres = [int(tokens[p]) for p in picked]
    cosine = F.normalize(memory[tokens], dim=1) @ F.normalize(memory[centres], dim=1).T
    nearest = cosine.argmax(1)
    return [(centre, tokens[nearest == k]) for k, centre in enumerate(centres)]
