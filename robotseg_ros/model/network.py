"""RobotSeg (arXiv 2511.22950): SAM 2 with SEMA for its memory attention and an RPG that prompts its decoder.

The network keeps nothing between calls. One frame is `encode_image` -> `track` -> `encode_memory`; the caller owns the
memories (`robotseg_ros.streaming.MemoryBank`) and hands them back as a `MemoryView`. Parameter names and shapes are those
of the published checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam2_utils import MLP, get_1d_sine_pe
from torch import Tensor, nn

from .adapter import EmbodimentAdapter
from .config import ModelConfig
from .edges import edge_map
from .mask_decoder import RobotMaskDecoder, choose_mask
from .refiner import BoundaryRefiner
from .rpg import RobotPromptGenerator
from .sema import StructureEnhancedMemoryAssociator, repeat_to
from .trunk import build_trunk, channel_list

ABSENT_LOGIT = -1024.0
"""Mask logit of every pixel when the object score says that the part is not in the frame (SAM 2, `NO_OBJ_SCORE`)."""

_MASK_SCALE, _MASK_BIAS = 20.0, -10.0


@dataclass
class ImageFeatures:
    """What one image gives, before any memory: tokens (b, C, h, w), high_res [(b, C/8, 4h, 4w), (b, C/4, 2h, 2w)], edges
    (b, 1, h, w) in [0, 1], and what the refiner sees (b, R, 8h, 8w) where the network has one."""

    tokens: Tensor
    high_res: list[Tensor]
    edges: Tensor
    fine: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> ImageFeatures:
        """The same with `change` made to each tensor."""
        fine = None if self.fine is None else change(self.fine)
        return ImageFeatures(change(self.tokens), [change(level) for level in self.high_res], change(self.edges), fine)


@dataclass
class Prompt:
    """What a user says about one frame, in pixels of the network's square input.

    points (B, P, 2) as x, y; labels (B, P): 1 on the part, 0 off it, 2 and 3 the corners of a box, -1 padding;
    mask (B, 1, S, S), 1 on the part, taken as the frame's output as it is.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    mask: Tensor | None = None

    @property
    def count(self) -> int:
        """Points in the prompt; a box counts as two."""
        return 0 if self.labels is None else int(self.labels.shape[1])


@dataclass
class StepOutput:
    """One frame's result, for B = images x parts.

    low_res_logits (B, 1, s, s): the mask taken, `ABSENT_LOGIT` everywhere when the part is absent; it is what is remembered.
    fine_logits (B, 1, S, S): the same with its boundary refined, from networks with a refiner. all_logits (B, M, s, s)
    and ious (B, M): the candidates as decoded, best (B,) the one taken. object_score (B, 1): a logit, present when > 0.
    pointer (B, C). structure: logits (B, 1, h, w) of each SEMA layer, none on a frame without memory.
    """

    low_res_logits: Tensor
    all_logits: Tensor
    ious: Tensor
    best: Tensor
    object_score: Tensor
    pointer: Tensor
    structure: list[Tensor] = field(default_factory=list)
    fine_logits: Tensor | None = None

    @property
    def finest_logits(self) -> Tensor:
        """The mask taken, at the finest resolution that the network gives."""
        return self.low_res_logits if self.fine_logits is None else self.fine_logits


@dataclass
class MemoryEntry:
    """What is remembered of one frame, complete when written: features (B, N, Cm), object_tokens (B, regions, C), pointer
    (B, C)."""

    features: Tensor
    object_tokens: Tensor
    pointer: Tensor


@dataclass
class MemoryView:
    """The memories a frame attends to.

    recent: (age in frames, entry), oldest first; pointers: (age in frames, pointer (B, C)), newest first, the conditioning
    frame's not among them. conditioning_age (B,): frames since each row's conditioning frame. max_pointers: the limit that
    pointers' ages are divided by (minus 1) in their temporal encoding. unprompted (B,) bool: rows whose conditioning frame
    nobody has prompted, where a second look may overrule the memory (`ModelConfig.second_look`); None where none is.
    """

    conditioning: MemoryEntry
    conditioning_age: Tensor
    recent: Sequence[tuple[int, MemoryEntry]]
    pointers: Sequence[tuple[int, Tensor]]
    max_pointers: int
    unprompted: Tensor | None = None


@dataclass
class _Decoded:
    """All the decoder says: logits (B, 4, s, s), the single mask first; ious (B, 4), tokens (B, 4, C), score (B, 1)."""

    logits: Tensor
    ious: Tensor
    tokens: Tensor
    score: Tensor

    def or_surer(self, other: _Decoded, allowed: Tensor) -> _Decoded:
        """Row by row `other`, where `allowed` (B,) and where it expects more of its best candidate."""
        taken = allowed & (other.ious[:, 1:].amax(1) > self.ious[:, 1:].amax(1))
        return _Decoded(
            torch.where(taken[:, None, None, None], other.logits, self.logits),
            torch.where(taken[:, None], other.ious, self.ious),
            torch.where(taken[:, None, None], other.tokens, self.tokens),
            torch.where(taken[:, None], other.score, self.score),
        )


class RobotSeg(nn.Module):
    """The network. `config` says what it is made of; see the module's text for how it is driven."""

    position: Tensor
    memory_position: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        width, memory = config.d_model, config.memory_dim
        trunk = build_trunk(config.trunk)
        neck = FpnNeck(
            PositionEmbeddingSine(width, warmup_cache=False),
            width,
            channel_list(config.trunk),
            fpn_interp_model="nearest",
            fpn_top_down_levels=[2, 3],
        )
        self.image_encoder = ImageEncoder(trunk, neck, scalp=1)
        self.memory_attention = StructureEnhancedMemoryAssociator(config)
        self.memory_encoder = MemoryEncoder(
            out_dim=memory,
            in_dim=width,
            mask_downsampler=MaskDownSampler(width, kernel_size=3, stride=2, padding=1),
            fuser=Fuser(CXBlock(width, kernel_size=7, padding=3), num_layers=2),
            position_encoding=PositionEmbeddingSine(memory, warmup_cache=False),
        )
        self.robot_prompt_generator = RobotPromptGenerator(config)
        self.sam_prompt_encoder = PromptEncoder(
            width, (config.grid, config.grid), (config.image_size, config.image_size), mask_in_chans=16
        )
        self.sam_mask_decoder = RobotMaskDecoder(config)
        self.refiner = BoundaryRefiner(config) if config.refiner_width else None
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.obj_ptr_proj = MLP(width, width, width, 3)
        self.obj_ptr_tpos_proj = nn.Linear(width, memory)
        self.maskmem_tpos_enc = _learned(config.num_maskmem, 1, 1, memory)
        self.no_mem_embed = _learned(1, 1, width)
        self.no_mem_pos_enc = _learned(1, 1, width)
        self.no_obj_ptr = _learned(1, width)
        self.no_obj_embed_spatial = _learned(1, memory)
        self.register_buffer("position", _sine_positions(width, config.grid), persistent=False)
        self.register_buffer("memory_position", _sine_positions(memory, config.grid), persistent=False)
        self.adapter: EmbodimentAdapter | None = None
        self._dense_position: tuple[object, Tensor] | None = None

    # -- one frame ---------------------------------------------------------------------------------------------------

    def encode_image(self, images: Tensor, edges: bool = True) -> ImageFeatures:
        """Features of ImageNet-normalised images (b, 3, S, S); no memory and no part enters here.

        edges: False for frames without memory, which make no use of the edge map; it is zero then, and where no SEMA
        layer has a structure branch.

        SAM 2's image encoder, whose neck is run level by level because its position encodings are constants here.
        """
        maps = self.image_encoder.trunk(images)
        lateral = self.image_encoder.neck.convs  # coarsest first
        coarse = lateral[0](maps[3])
        tokens = lateral[1](maps[2]) + F.interpolate(coarse.float(), scale_factor=2.0, mode="nearest").to(coarse.dtype)
        decoder = self.sam_mask_decoder
        high_res = [
            _projected(maps[0], lateral[3].conv, decoder.conv_s0),
            _projected(maps[1], lateral[2].conv, decoder.conv_s1),
        ]
        if edges and self.memory_attention.uses_edges:
            found = edge_map(images, self.config.edge_source, self.config.stride)
        else:
            found = images.new_zeros(len(images), 1, self.config.grid, self.config.grid)
        features = ImageFeatures(tokens, high_res, found)
        if self.adapter is not None:
            features = self.adapter(features)
        if self.refiner is not None:
            features.fine = self.refiner.look(images, features.high_res[0])
        return features

    def track(
        self,
        features: ImageFeatures,
        memory: MemoryView | None,
        class_ids: Tensor | None,
        prompt: Prompt | None = None,
    ) -> StepOutput:
        """Masks of a frame.

        class_ids (B,): the part asked for, an index into `config.parts`; B is a multiple of the images b, parts of one
        image side by side. memory None: a conditioning frame. With a mask prompt that mask is the output.
        """
        batch = _batch(class_ids, prompt)
        if prompt is not None and prompt.mask is not None:
            return self._mask_as_output(features, prompt.mask)
        structure: list[Tensor] = []
        if memory is None:
            decoded = self._first_look(features, class_ids, batch, prompt)
        else:
            tokens, structure = self._with_memory(features, memory)
            entries = [memory.conditioning, *(entry for _, entry in memory.recent)]
            objects = torch.cat([entry.object_tokens for entry in entries], dim=1)
            decoded = self._decode(features, tokens, class_ids, objects, prompt)
            if self.config.second_look and memory.unprompted is not None:
                decoded = decoded.or_surer(self._first_look(features, class_ids, batch, None), memory.unprompted)
        multimask = class_ids is not None and (prompt is None or prompt.count <= 1)
        output = self._answer(features, decoded, multimask)
        output.structure = structure
        return output

    def encode_memory(self, features: ImageFeatures, output: StepOutput, binarise: bool) -> MemoryEntry:
        """What is to be remembered of a frame (SAM 2, `_encode_new_memory`), with its object tokens.

        binarise: on conditioning frames the mask is remembered as 0 or 1, on tracked frames as a probability.
        """
        size = self.config.image_size
        logits = F.interpolate(output.low_res_logits.float(), size=(size, size), mode="bilinear", align_corners=False)
        mask = (logits > 0).to(logits.dtype) if binarise else torch.sigmoid(logits)
        mask = mask * _MASK_SCALE + _MASK_BIAS
        # A single image is projected once and broadcast over its parts.
        tokens = features.tokens if features.tokens.shape[0] == 1 else repeat_to(features.tokens, mask.shape[0])
        encoded = self.memory_encoder(tokens, mask, skip_mask_sigmoid=True)["vision_features"]
        absent = (output.object_score <= 0).to(encoded.dtype)
        encoded = encoded + (absent * self.no_obj_embed_spatial)[..., None, None]
        stored = encoded.flatten(2).transpose(1, 2)
        if self.config.memory_bfloat16:
            stored = stored.bfloat16()
        foreground = self._foreground(output.low_res_logits)
        objects = self.robot_prompt_generator(stored.to(encoded.dtype), foreground)
        return MemoryEntry(stored, objects, output.pointer)

    # -- its steps ---------------------------------------------------------------------------------------------------

    def _first_look(
        self, features: ImageFeatures, class_ids: Tensor | None, batch: int, prompt: Prompt | None
    ) -> _Decoded:
        """A frame as if nothing had come before it."""
        tokens = repeat_to(features.tokens + self.no_mem_embed.view(1, -1, 1, 1), batch)
        return self._decode(features, tokens, class_ids, self.robot_prompt_generator.without_memory(batch), prompt)

    def _with_memory(self, features: ImageFeatures, memory: MemoryView) -> tuple[Tensor, list[Tensor]]:
        """SEMA over the view's memories: (B, C, h, w) and the structure logits of each layer."""
        remembered, position = self._memory_tokens(memory)
        x, structure = self.memory_attention(
            features.tokens.flatten(2).transpose(1, 2), self.position, features.edges, remembered, position
        )
        grid = self.config.grid
        return x.transpose(1, 2).reshape(x.shape[0], -1, grid, grid), structure

    def _memory_tokens(self, memory: MemoryView) -> tuple[Tensor, Tensor]:
        """Memories and their encodings, (B, M, Cm): the conditioning frame, oldest to newest, then the pointers."""
        config = self.config
        dtype = self.no_mem_embed.dtype
        # Index num_maskmem - 1 is the conditioning frame's, age - 1 that of a frame `age` frames ago.
        spatial = [(config.num_maskmem - 1, memory.conditioning), *((age - 1, entry) for age, entry in memory.recent)]
        tokens = [entry.features.to(dtype) for _, entry in spatial]
        positions = [self.memory_position + self.maskmem_tpos_enc[index, 0] for index, _ in spatial]
        batch = tokens[0].shape[0]
        pointers, ages = self._pointer_tokens(memory, batch)
        return (
            torch.cat([*tokens, pointers.to(dtype)], dim=1),
            torch.cat([torch.cat(positions, dim=1).expand(batch, -1, -1), ages.to(dtype)], dim=1),
        )

    def _pointer_tokens(self, memory: MemoryView, batch: int) -> tuple[Tensor, Tensor]:
        """Object pointers cut into memory-wide tokens and the encoding of their ages, both (B, P * C / Cm, Cm)."""
        config = self.config
        pointers = torch.stack([memory.conditioning.pointer, *(p for _, p in memory.pointers)], dim=1)
        ages = memory.conditioning_age.new_tensor([float(age) for age, _ in memory.pointers])
        ages = torch.cat([memory.conditioning_age[:, None], ages.expand(batch, -1)], dim=1)
        sine = get_1d_sine_pe(ages / (memory.max_pointers - 1), dim=config.d_model)
        encoded = self.obj_ptr_tpos_proj(sine.to(self.obj_ptr_tpos_proj.weight.dtype))
        pieces = config.d_model // config.memory_dim
        return pointers.reshape(batch, -1, config.memory_dim), encoded.repeat_interleave(pieces, dim=1)

    def _decode(
        self,
        features: ImageFeatures,
        tokens: Tensor,
        class_ids: Tensor | None,
        objects: Tensor,
        prompt: Prompt | None,
    ) -> _Decoded:
        """SAM 2's prompt encoder and mask decoder; class and object tokens go ahead of the point tokens."""
        batch = tokens.shape[0]
        sparse, dense = self._encode_prompt(prompt, batch, tokens)
        if class_ids is not None:
            classes = self.sam_mask_decoder.robot_token_embedding(class_ids)[:, None]
            if self.adapter is not None:
                classes = classes + self.adapter.class_tokens[class_ids][:, None]
            sparse = torch.cat([classes, objects.to(sparse.dtype), sparse], dim=1)
        logits, ious, mask_tokens, score = self.sam_mask_decoder.predict_masks(
            image_embeddings=tokens,
            image_pe=self._dense_positions(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            repeat_image=False,
            high_res_features=[repeat_to(level, batch) for level in features.high_res],
        )
        return _Decoded(logits, ious, mask_tokens, score)

    def _answer(self, features: ImageFeatures, found: _Decoded, multimask: bool) -> StepOutput:
        """The mask taken of what was decoded, its pointer, and its boundary refined."""
        batch, score = found.logits.shape[0], found.score
        all_logits, all_ious, best = choose_mask(found.logits.float(), found.ious, multimask)
        rows = torch.arange(batch, device=score.device)
        token = found.tokens[rows, best + 1] if multimask else found.tokens[:, 0]
        present = score > 0
        decoded = all_logits[rows, best][:, None]
        taken = torch.where(present[:, :, None, None], decoded, ABSENT_LOGIT)
        pointer = torch.where(present, self.obj_ptr_proj(token), self.no_obj_ptr)
        output = StepOutput(taken, all_logits, all_ious, best, score, pointer)
        if self.refiner is not None and features.fine is not None:
            fine = self.refiner(repeat_to(features.fine, batch), decoded, found.logits)
            output.fine_logits = torch.where(present[:, :, None, None], fine, ABSENT_LOGIT)
        return output

    def _encode_prompt(self, prompt: Prompt | None, batch: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Point tokens (B, P + 1, C) and the dense embedding; no point at all is two `not_a_point` tokens."""
        if prompt is not None and prompt.points is not None and prompt.labels is not None:
            points, labels = prompt.points.to(like.device).float(), prompt.labels.to(like.device)
        else:
            points = torch.zeros(batch, 1, 2, device=like.device)
            labels = torch.full((batch, 1), -1, device=like.device)
        mask = None if prompt is None else prompt.mask
        return self.sam_prompt_encoder(points=(points, labels), boxes=None, masks=mask)

    def _mask_as_output(self, features: ImageFeatures, mask: Tensor) -> StepOutput:
        """A given mask becomes the frame's output (SAM 2, `_use_mask_as_output`): the decoder makes its pointer only, with
        neither class nor object tokens."""
        mask = mask.float()
        batch = mask.shape[0]
        low_res = self.config.low_res
        logits = F.interpolate(
            mask * _MASK_SCALE + _MASK_BIAS,
            size=(low_res, low_res),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        prompt = Prompt(mask=self.mask_downsample(mask))
        tokens = repeat_to(features.tokens, batch)
        found = self._decode(features, tokens, None, tokens.new_zeros(batch, 0, self.config.d_model), prompt)
        decoded = self._answer(features, found, multimask=False)
        present = mask.flatten(1).amax(dim=1, keepdim=True) > 0
        return StepOutput(
            low_res_logits=logits,
            all_logits=logits,
            ious=torch.ones(batch, 1, device=mask.device),
            best=torch.zeros(batch, dtype=torch.long, device=mask.device),
            object_score=present.float() * _MASK_SCALE + _MASK_BIAS,
            pointer=torch.where(present, decoded.pointer, self.no_obj_ptr),
            fine_logits=None if self.refiner is None else mask * _MASK_SCALE + _MASK_BIAS,
        )

    def _foreground(self, low_res_logits: Tensor) -> Tensor:
        """Tokens (B, N) bool on the part: the mask's probability at the token grid is at least one half."""
        probability = torch.sigmoid(low_res_logits.float())
        grid = self.config.grid
        at_tokens = F.interpolate(probability, size=(grid, grid), mode="bilinear", align_corners=False)
        return at_tokens.flatten(1) >= 0.5

    def _dense_positions(self) -> Tensor:
        """Position encoding of the token grid for the decoder, (1, C, h, w); it changes only with the checkpoint."""
        matrix = self.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
        key = (matrix.data_ptr(), matrix._version, matrix.device, matrix.dtype)
        if self._dense_position is None or self._dense_position[0] != key:
            self._dense_position = (key, self.sam_prompt_encoder.get_dense_pe())
        return self._dense_position[1]


def _learned(*shape: int) -> nn.Parameter:
    parameter = nn.Parameter(torch.zeros(*shape))
    nn.init.trunc_normal_(parameter, std=0.02)
    return parameter


def _projected(level: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Two 1x1 convolutions as the one that they are together: nothing lies between the neck's and the decoder's, and the
    wide map between them would be the largest of the whole network."""
    weight = second.weight.flatten(1) @ first.weight.flatten(1)
    assert first.bias is not None and second.bias is not None
    return F.conv2d(level, weight[..., None, None], second.weight.flatten(1) @ first.bias + second.bias)


def _sine_positions(width: int, grid: int) -> Tensor:
    """SAM 2's sine encoding of a square grid as tokens, (1, N, width)."""
    encoding = PositionEmbeddingSine(width, warmup_cache=False)(torch.zeros(1, 1, grid, grid))
    return encoding.flatten(2).transpose(1, 2).contiguous()


def _batch(class_ids: Tensor | None, prompt: Prompt | None) -> int:
    if class_ids is not None:
        return int(class_ids.shape[0])
    if prompt is not None and prompt.mask is not None:
        return int(prompt.mask.shape[0])
    raise ValueError("a frame without a class needs a mask prompt: class_ids is None and prompt.mask is None")
