"""The shape of a BLIP: what stands in `config.json` beside the weights. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Task = Literal["caption", "match", "answer"]
"""Which heads a checkpoint has: BlipForConditionalGeneration, BlipForImageTextRetrieval, BlipForQuestionAnswering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """Image encoder (ViT, arXiv 2010.11929). Pre-LN blocks, class token, learned positions."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    image_size: int = 384
    patch_size: int = 16
    layer_norm_eps: float = 1e-5
    embedding: Literal["patch", "efficientnet_lite2"] = "patch"
    """Where patch tokens come from: a strided convolution, or the feature map of a network (the ViT paper's hybrid)."""
    concept_tokens: int = 0
    """Tokens appended to the features for the likeliest concept words of the image network's classifier (hybrid only)."""
    concept_words: tuple[str, ...] = ()
    """The words those tokens stand for, in the order of the weights."""

    @property
    def grid_side(self) -> int:
        """Patches along one side: 24 for 384 px in patches of 16; 9 for EfficientNet-Lite2 at 260 px (stride 32, SAME)."""
        return -(-self.image_size // 32) if self.embedding == "efficientnet_lite2" else self.image_size // self.patch_size

    @property
    def tokens(self) -> int:
        """Length of the feature sequence: class token, patches, concepts."""
        return 1 + self.grid_side**2 + self.concept_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Text transformer (BERT layout, post-LN) with optional cross-attention to `encoder_hidden_size`-wide features."""

    vocab_size: int = 30524
    hidden_size: int = 768
    encoder_hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12
    bos_token_id: int = 30522  # [DEC]
    eos_token_id: int = 102  # [SEP]; Hugging Face calls it sep_token_id
    pad_token_id: int = 0
    enc_token_id: int = 30523  # [ENC], first token where the image-grounded encoder reads


@dataclass(frozen=True, slots=True, kw_only=True)
class BlipConfig:
    """A whole BLIP: both towers, the heads (`task`), and how pixels are normalised."""

    task: Task = "caption"
    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    projection_dim: int = 256
    """Width of the shared image-text space (Hugging Face: image_text_hidden_size)."""
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
