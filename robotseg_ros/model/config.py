"""What a RobotSeg network is made of: one frozen record per model, from which every size in the network is derived."""

from __future__ import annotations

from dataclasses import dataclass, field

PARTS: tuple[str, ...] = ("arm", "gripper", "robot")
"""The parts a network knows, in the order of its class tokens (`robot_token_embedding`)."""

EDGE_SOURCES: tuple[str, ...] = ("rgb", "normalised")


@dataclass(frozen=True)
class HieraTrunk:
    """The trunk of SAM 2 (`sam2.modeling.backbones.hieradet.Hiera`); the defaults are SAM 2.1 tiny's."""

    embed_dim: int = 96
    num_heads: int = 1
    stages: tuple[int, ...] = (1, 2, 7, 2)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    window_pos_size: tuple[int, int] = (7, 7)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the four levels, finest (stride 4) first."""
        return tuple(self.embed_dim * 2**i for i in range(len(self.stages)))


@dataclass(frozen=True)
class MobileTrunk:
    """MobileNetV2 (Sandler et al. 2018, table 2), for CPUs and small GPUs (`robotseg_ros.model.trunk.MobileNetTrunk`).

    levels: for each of the strides 2, 4, 8, 16 and 32 its groups of blocks as (expansion, channels, blocks).
    top_down: for the strides 4, 8 and 16, (expansion, blocks) of what takes into a map what the coarser ones know; () is
        MobileNetV2 alone.
    """

    stem: int = 32
    levels: tuple[tuple[tuple[int, int, int], ...], ...] = (
        ((1, 16, 1),),
        ((6, 24, 2),),
        ((6, 32, 3),),
        ((6, 64, 4), (6, 96, 3)),
        ((6, 160, 3), (6, 320, 1)),
    )
    top_down: tuple[tuple[int, int], ...] = ()

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the four maps, finest (stride 4) first."""
        return tuple(groups[-1][1] for groups in self.levels[1:])


@dataclass(frozen=True)
class ModelConfig:
    """Every choice that makes one network differ from another. Sizes in pixels of the square network input.

    `d_model` is the width of tokens; memories have a quarter of it, because an object token is four memory vectors side
    by side (RPG) and an object pointer is split into four memory tokens (SAM 2).
    """

    name: str
    image_size: int
    trunk: HieraTrunk | MobileTrunk
    d_model: int = 256
    attention_layers: int = 4
    attention_mlp: int = 2048
    decoder_depth: int = 2
    decoder_mlp: int = 2048
    decoder_heads: int = 8
    iou_head_width: int = 256
    num_maskmem: int = 7
    max_pointers: int = 16
    edge_source: str = "rgb"
    memory_bfloat16: bool = True
    resize: str = "pil_bicubic"
    fill_hole_area: int = 0  # what a user of the model should give StreamSegmenter; in pixels of the low-res mask
    refiner_width: int = 0  # channels of the BoundaryRefiner; 0: masks end at `mask_stride`, as published
    second_look: bool = False  # see also what each frame gives without memory, and take what expects the higher IoU
    regions: int = 3
    prototypes_per_region: int = 4
    parts: tuple[str, ...] = field(default=PARTS)

    stride = 16
    mask_stride = 4

    def __post_init__(self) -> None:
        _require(self.image_size > 0 and self.image_size % 32 == 0, "image_size", self.image_size, "a multiple of 32")
        _require(self.d_model % 32 == 0, "d_model", self.d_model, "a multiple of 32")
        _require(self.edge_source in EDGE_SOURCES, "edge_source", self.edge_source, f"one of {EDGE_SOURCES}")
        _require(self.resize in ("pil_bicubic", "area"), "resize", self.resize, "'pil_bicubic' or 'area'")
        _require(self.num_maskmem >= 2, "num_maskmem", self.num_maskmem, "at least 2")
        _require(self.max_pointers >= 2, "max_pointers", self.max_pointers, "at least 2")
        # An object token (prototypes side by side) must be as wide as a decoder token.
        _require(
            self.prototypes_per_region * self.memory_dim == self.d_model,
            "prototypes_per_region",
            self.prototypes_per_region,
            f"d_model / memory_dim = {self.d_model // self.memory_dim}",
        )

    @property
    def memory_dim(self) -> int:
        """Channels of a spatial memory."""
        return self.d_model // 4

    @property
    def grid(self) -> int:
        """Side of the token grid."""
        return self.image_size // self.stride

    @property
    def tokens(self) -> int:
        """Tokens of one frame, and of one spatial memory."""
        return self.grid * self.grid

    @property
    def low_res(self) -> int:
        """Side of the low-resolution mask logits."""
        return self.image_size // self.mask_stride


def _require(ok: bool, name: str, value: object, allowed: str) -> None:
    if not ok:
        raise ValueError(f"ModelConfig.{name} is {value!r}; it must be {allowed}")


PRESETS: dict[str, ModelConfig] = {
    config.name: config
    for config in (
        ModelConfig(name="robotseg", image_size=1024, trunk=HieraTrunk(), edge_source="normalised", fill_hole_area=8),
        ModelConfig(name="robotseg_small", image_size=512, trunk=HieraTrunk()),
        ModelConfig(
            name="robotseg_nano",
            image_size=320,
            trunk=MobileTrunk(top_down=((2, 1), (6, 3), (6, 3))),
            d_model=128,
            attention_layers=2,
            attention_mlp=256,
            decoder_mlp=256,
            iou_head_width=128,
            num_maskmem=3,
            max_pointers=8,
            resize="area",
            refiner_width=16,
            second_look=True,
        ),
    )
}


def preset(name: str) -> ModelConfig:
    """The preset called `name`. Raises ValueError that lists the presets there are."""
    if name not in PRESETS:
        raise ValueError(f"there is no model preset {name!r}; presets are {', '.join(PRESETS)}")
    return PRESETS[name]
