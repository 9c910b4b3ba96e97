"""The shape of a BLIP: what stands in `config.json` beside the weights. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, NamedTuple

from seesay.errors import UsageError

Task = Literal["caption", "match", "answer", "pretrain", "full"]
"""Which heads a checkpoint has: those of BlipForConditionalGeneration, BlipForImageTextRetrieval or
BlipForQuestionAnswering, or captioning's and matching's at once (the paper's pre-training, section 3.2). A full one has
the weights of pre-training, and its decoder answers questions too: from their states as it captions from an image's."""
READING: frozenset[Task] = frozenset({"match", "answer", "pretrain", "full"})
"""Tasks with an image-grounded encoder ..."""
PAIRING: frozenset[Task] = frozenset({"match", "pretrain", "full"})
"""... with the heads of matching and retrieval ..."""
WRITING: frozenset[Task] = frozenset({"caption", "pretrain", "full"})
"""... with a decoder that reads image features ..."""
ANSWERING: frozenset[Task] = frozenset({"answer", "full"})
"""... with one that reads the states of a question ..."""
SHARING: frozenset[Task] = frozenset({"pretrain", "full"})
"""... and with all but self-attention shared between encoder and decoder."""

IMAGENET_CLASSES = 1000
BACKBONE_WIDTH = 1280  # channels of EfficientNet-Lite2's last feature map
BACKBONE_STRIDE = 32  # input pixels per cell of that map
LITE2_STAGES = (  # its blocks: repeats, kernel, stride, expansion, channels out
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)


class Lite2Block(NamedTuple):
    """One inverted residual of EfficientNet-Lite2."""

    channels: int
    out: int
    kernel: int
    stride: int
    expansion: int


def _lite2_blocks() -> Iterator[Lite2Block]:
    channels = 32  # the stem's
    for repeats, kernel, stride, expansion, out in LITE2_STAGES:
        for i in range(repeats):
            yield Lite2Block(channels, out, kernel, 1 if i else stride, expansion)
            channels = out


LITE2_BLOCKS = tuple(_lite2_blocks())  # 21
LITE2_LAST = 5  # blocks behind the last stride, whose maps are as large as the last one


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """Image encoder (ViT, arXiv 2010.11929). Pre-LN blocks, class token, learned positions.

    Raises UsageError for sizes that make no network.
    """

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
    """Tokens appended to the features for the likeliest concept words of the hybrid's own classifier."""
    concept_words: tuple[str, ...] = ()
    """The words those tokens stand for, in the order of the weights. Without tokens, their probabilities only."""
    adapted_blocks: int = 0
    """The last blocks of the hybrid's network that are there twice: as they came, for the classifier of the concept
    words, and trained with the rest, for the patches."""

    def __post_init__(self) -> None:
        _check_transformer("image", self.hidden_size, self.num_hidden_layers, self.num_attention_heads)
        _check_positive("image", intermediate_size=self.intermediate_size, patch_size=self.patch_size)
        _check_positive("image", image_size=self.image_size)
        if self.embedding not in ("patch", "efficientnet_lite2"):
            raise UsageError(f"Unknown patch embedding {self.embedding!r}", "Use 'patch' or 'efficientnet_lite2'.")
        if self.image_size > 4096 or self.grid_side < 1:
            raise UsageError(f"Images of {self.image_size} pixels in patches of {self.patch_size} make no grid")
        if self.embedding == "patch" and (self.concept_tokens or self.concept_words or self.adapted_blocks):
            raise UsageError("Concepts come from the hybrid's image network; a plain ViT has none")
        if not 0 <= self.adapted_blocks <= LITE2_LAST:
            raise UsageError(f"{self.adapted_blocks} adapted blocks", f"Give {LITE2_LAST} at most.")
        if not 0 <= self.concept_tokens <= len(self.concept_words):
            raise UsageError(f"{self.concept_tokens} concept tokens need at least as many concept words")

    @property
    def grid_side(self) -> int:
        """Patches along one side: 24 for 384 px in patches of 16; 9 for the hybrid at 260 px (stride 32, SAME)."""
        if self.embedding == "efficientnet_lite2":
            return -(-self.image_size // BACKBONE_STRIDE)
        return self.image_size // self.patch_size

    @property
    def map_width(self) -> int:
        """Channels of the hybrid's map where training enters it: the last map's, or what adapted blocks start from."""
        return LITE2_BLOCKS[-self.adapted_blocks].channels if self.adapted_blocks else BACKBONE_WIDTH

    @property
    def tokens(self) -> int:
        """Length of the feature sequence: class token, patches, concepts."""
        return 1 + self.grid_side**2 + self.concept_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Text transformer (BERT layout, post-LN) with optional cross-attention to `encoder_hidden_size`-wide features.

    Raises UsageError for sizes that make no network, and for special tokens outside the vocabulary.
    """

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

    def __post_init__(self) -> None:
        _check_transformer("text", self.hidden_size, self.num_hidden_layers, self.num_attention_heads)
        _check_positive("text", vocab_size=self.vocab_size, intermediate_size=self.intermediate_size)
        _check_positive("text", max_position_embeddings=self.max_position_embeddings)
        _check_positive("text", encoder_hidden_size=self.encoder_hidden_size)
        for token in (self.bos_token_id, self.eos_token_id, self.pad_token_id, self.enc_token_id):
            if not 0 <= token < self.vocab_size:
                raise UsageError(f"Special token {token} is outside a vocabulary of {self.vocab_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlipConfig:
    """A whole BLIP: both towers, the heads (`task`), and how pixels are normalised."""

    task: Task = "caption"
    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    projection_dim: int = 256
    """Width of the shared image-text space (Hugging Face: image_text_hidden_size)."""
    temperature: float = 0.07
    """What the contrastive loss divides similarities by; softmax(similarity / temperature) over texts is the model's
    guess which of them is the picture's. Trained with the model, from 0.07 on, which stands in where a checkpoint does
    not tell (Hugging Face's folders of the public models do not)."""
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    def __post_init__(self) -> None:
        _check_positive("whole", projection_dim=self.projection_dim)
        if not 1e-4 <= self.temperature <= 10:
            raise UsageError(f"A temperature of {self.temperature} is none of a contrastive loss", "It is near 0.07.")
        for name, values in (("image_mean", self.image_mean), ("image_std", self.image_std)):
            if len(values) != 3 or not all(isfinite(value) for value in values) or min(self.image_std) <= 0:
                raise UsageError(f"{name}={values} cannot normalise three colours")
        if self.text.encoder_hidden_size != self.vision.hidden_size:
            raise UsageError(
                f"The text side reads features {self.text.encoder_hidden_size} wide, "
                f"the image side makes them {self.vision.hidden_size} wide"
            )

    @classmethod
    def base(cls, task: Task = "caption", image_size: int = 384) -> BlipConfig:
        """The paper's BLIP with ViT-B/16."""
        return cls(task=task, vision=VisionConfig(image_size=image_size))

    @classmethod
    def large(cls, task: Task = "caption", image_size: int = 384) -> BlipConfig:
        """The paper's BLIP with ViT-L/16; the text side is base's."""
        vision = VisionConfig(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            image_size=image_size,
        )
        return cls(task=task, vision=vision, text=TextConfig(encoder_hidden_size=1024))

    @classmethod
    def small(
        cls,
        tokens: Sequence[str],
        task: Task = "caption",
        image_layers: int = 2,
        concept_words: Sequence[str] = (),
        concept_tokens: int = 0,
        adapted_blocks: int = 0,
    ) -> BlipConfig:
        """The built-in model: ViT layers over EfficientNet-Lite2's map, and MiniLM-L6's text transformer.

        `tokens` is the vocabulary in the order of its ids; [PAD], [SEP], [DEC] and [ENC] must be in it.
        """
        vision = VisionConfig(
            hidden_size=384,
            num_hidden_layers=image_layers,
            num_attention_heads=12,
            intermediate_size=1536,
            image_size=260,
            embedding="efficientnet_lite2",
            concept_tokens=concept_tokens,
            concept_words=tuple(concept_words),
            adapted_blocks=adapted_blocks,
        )
        ids = {token: index for index, token in enumerate(tokens)}
        if missing := [token for token in ("[PAD]", "[SEP]", "[DEC]", "[ENC]") if token not in ids]:
            raise UsageError(f"The vocabulary lacks {', '.join(missing)}", "Append the special tokens to it.")
        text = TextConfig(
            vocab_size=len(tokens),
            hidden_size=384,
            encoder_hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
            bos_token_id=ids["[DEC]"],
            eos_token_id=ids["[SEP]"],
            pad_token_id=ids["[PAD]"],
            enc_token_id=ids["[ENC]"],
        )
        # EfficientNet-Lite was trained on (x - 127) / 128 of bytes, not on ImageNet's mean and deviation.
        centre, spread = (127 / 255,) * 3, (128 / 255,) * 3
        return cls(task=task, vision=vision, text=text, image_mean=centre, image_std=spread)


def _check_transformer(tower: str, hidden_size: int, layers: int, heads: int) -> None:
    _check_positive(tower, hidden_size=hidden_size, num_attention_heads=heads)
    if hidden_size % heads:
        raise UsageError(f"A {tower} tower {hidden_size} wide cannot be split among {heads} attention heads")
    if not 0 <= layers <= 128:
        raise UsageError(f"A {tower} tower of {layers} layers makes no sense")


def _check_positive(tower: str, **sizes: int) -> None:
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
            raise UsageError(f"{name}={value!r} of the {tower} tower is not a size between 1 and 1,000,000")
