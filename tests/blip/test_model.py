"""The model's own promises: roles, folded captions, caches, masks, the hybrid and its concepts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seesay.blip.config import BlipConfig, TextConfig, VisionConfig
from seesay.blip.model import Blip, Cache, attend
from seesay.errors import CapabilityError

TEXT = TextConfig(
    vocab_size=40,
    hidden_size=16,
    encoder_hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=20,
    max_position_embeddings=16,
    bos_token_id=38,
    eos_token_id=3,
    enc_token_id=39,
)
VISION = VisionConfig(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=32,
    image_size=32,
    patch_size=16,
)
HYBRID = VisionConfig(
    hidden_size=24,
    num_hidden_layers=1,
    num_attention_heads=3,
    intermediate_size=32,
    image_size=96,
    embedding="efficientnet_lite2",
    concept_tokens=2,
    concept_words=("cat", "dog", "cup"),
)


def build(task: str = "caption", vision: VisionConfig = VISION, dropout: float = 0.0) -> Blip:
    torch.manual_seed(1)
    model = Blip(BlipConfig(task=task, vision=vision, text=TEXT), dropout).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
        if vision.concept_words:
            model.vision_model.concepts.words[:3] = torch.eye(3)
        if vision.concept_tokens:
            model.vision_model.concepts.table.normal_()
    return model


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-5)


@pytest.fixture(scope="module")
def hybrid() -> Blip:
    return build(vision=HYBRID)


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(4, 38, (6, 5), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def features() -> Tensor:
    return torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(4))


@torch.no_grad()
def test_several_captions_an_image_equal_one_at_a_time(ids: Tensor, features: Tensor) -> None:
    model = build()
    repeated = features.repeat_interleave(3, dim=0)
    assert close(model.decode(ids, None, features), model.decode(ids, None, repeated))
    keep = torch.tensor([[1, 1, 0, 1, 0], [1, 0, 1, 1, 1]])
    alone = model.decode(ids, None, repeated, keep.repeat_interleave(3, dim=0))
    assert close(model.decode(ids, None, features, keep), alone)


@torch.no_grad()
def test_masked_features_are_as_good_as_absent(ids: Tensor, features: Tensor) -> None:
    model = build()
    keep = torch.tensor([1, 0, 1, 1, 0])
    masked = model.decode(ids, None, features, keep.expand(2, -1))
    assert close(masked, model.decode(ids, None, features[:, keep.bool()]))
    assert not close(masked, model.decode(ids, None, features))


@pytest.mark.parametrize("kind", ["plain", "masked", "causal"])
def test_attention_written_out_is_the_fused_one(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(2, 3, n, 8, generator=generator, requires_grad=True) for n in (5, 5, 5))
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()[:, None, None] if kind == "masked" else None
    written = attend(queries, keys, values, mask, causal=kind == "causal")
    fused = F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=kind == "causal")
    assert close(written, fused)
    weights = torch.randn(written.shape, generator=generator)
    ours, theirs = (torch.autograd.grad((out * weights).sum(), (queries, keys, values)) for out in (written, fused))
    assert all(close(one, other.nan_to_num()) for one, other in zip(ours, theirs, strict=True))


@torch.no_grad()
def test_texts_that_share_a_row_do_not_see_each_other(features: Tensor) -> None:
    model = build()
    first, second = torch.tensor([[7, 8, 9]]), torch.tensor([[5, 6]])
    owner = torch.tensor([[0, 0, 0, 1, 1]])
    mask = (owner.unsqueeze(2) == owner.unsqueeze(1)).tril()
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    both = model.decode_states(torch.cat([first, second], 1), mask, features[:1], positions=positions)
    assert close(both[:, :3], model.decode_states(first, None, features[:1]))
    assert close(both[:, 3:], model.decode_states(second, None, features[:1]))


def test_an_image_may_be_hidden_altogether(ids: Tensor, features: Tensor) -> None:
    model = build()
    none = torch.zeros(2, 5)
    logits = model.decode(ids, None, features, none)
    logits.square().mean().backward()
    assert logits.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in model.text_decoder.parameters() if weight.grad is not None)
    assert close(logits, model.decode(ids, None, torch.randn(2, 5, 24), none))


@torch.no_grad()
def test_tokens_one_by_one_equal_all_at_once(ids: Tensor, features: Tensor) -> None:
    model = build()
    bert = model.text_decoder.bert
    whole = bert(ids, causal=True, context=bert.context(features))
    cache = Cache(TEXT, rows=6, capacity=8, like=features)
    parts = [bert(part, causal=True, context=bert.context(features), cache=cache) for part in ids.split([2, 1, 2], 1)]
    assert close(torch.cat(parts, dim=1), whole)
    assert cache.length == 5


@torch.no_grad()
def test_cached_rows_follow_their_sources(ids: Tensor, features: Tensor) -> None:
    model = build()
    bert = model.text_decoder.bert
    context = bert.context(features)
    cache = Cache(TEXT, rows=6, capacity=8, like=features)
    bert(ids[:, :4], causal=True, context=context, cache=cache)
    sources = torch.tensor([1, 1, 0, 5, 4, 4])  # within each image's three rows
    cache.select(sources)
    last = bert(ids[:, 4:], causal=True, context=context, cache=cache)
    moved = torch.cat([ids[sources, :4], ids[:, 4:]], dim=1)
    assert close(last, bert(moved, causal=True, context=context)[:, 4:])


@torch.no_grad()
def test_only_the_decoder_is_causal(ids: Tensor, features: Tensor) -> None:
    model = build("pretrain")
    changed = ids.clone()
    changed[:, -1] = 5
    assert close(model.decode(ids, None, features)[:, :-1], model.decode(changed, None, features)[:, :-1])
    assert not close(model.read(ids, None, features)[:, 0], model.read(changed, None, features)[:, 0])


@torch.no_grad()
def test_padding_at_the_end_changes_nothing(ids: Tensor, features: Tensor) -> None:
    model = build("pretrain")
    padded = torch.cat([ids, torch.zeros_like(ids[:, :2])], dim=1)
    mask = (padded != 0).long()
    assert close(model.decode(padded, mask, features)[:, :5], model.decode(ids, None, features))
    assert close(model.decode(padded, None, features)[:, :5], model.decode(ids, None, features))
    assert close(model.match(padded, mask, features), model.match(ids, None, features))
    assert close(model.embed_text(padded, mask), model.embed_text(ids, None))


@torch.no_grad()
def test_the_head_can_be_spared_for_some_positions(ids: Tensor, features: Tensor) -> None:
    model = build()
    wanted = ids > 20
    states = model.decode_states(ids, None, features)
    assert close(model.text_decoder.logits(states[wanted]), model.decode(ids, None, features)[wanted])


@torch.no_grad()
def test_embeddings_are_unit_vectors(ids: Tensor, features: Tensor) -> None:
    model = build("match")
    for vectors in (model.embed_image(features), model.embed_text(ids, None)):
        assert close(vectors.norm(dim=-1), torch.ones(len(vectors)))


def test_pretraining_shares_all_but_self_attention() -> None:
    model = build("pretrain")
    encoder, decoder = model.text_encoder, model.text_decoder.bert
    assert decoder.embeddings is encoder.embeddings
    for mine, theirs in zip(decoder.encoder.layer, encoder.encoder.layer, strict=True):
        assert mine.crossattention is theirs.crossattention
        assert mine.output is theirs.output
        assert mine.attention is not theirs.attention


def test_dropout_acts_in_training_only(ids: Tensor, features: Tensor) -> None:
    model = build(dropout=0.1)
    assert close(model.decode(ids, None, features), model.decode(ids, None, features))
    model.train()
    assert not close(model.decode(ids, None, features), model.decode(ids, None, features))


@pytest.mark.parametrize(
    ("task", "verb"), [("caption", "match"), ("caption", "read"), ("match", "decode"), ("answer", "embed_text")]
)
def test_a_missing_head_is_named(task: str, verb: str, ids: Tensor, features: Tensor) -> None:
    model = build(task)
    arguments = (ids, None) if verb == "embed_text" else (ids, None, features)
    with pytest.raises(CapabilityError, match=task) as caught:
        getattr(model, verb)(*arguments)
    assert caught.value.remedy


@torch.no_grad()
def test_hybrid_encodes_its_map_and_appends_concepts(hybrid: Blip) -> None:
    model = hybrid
    pixels = torch.randn(2, 3, 96, 96)
    features = model.backbone_features(pixels)
    assert features.shape == (2, 9, 1280)
    encoded = model.encode(pixels)
    assert encoded.shape == (2, HYBRID.tokens, 24)
    assert close(encoded, model.encode_map(features))

    probabilities = model.concept_probabilities(features)
    classes = model.vision_model.concepts.classifier(features.mean(dim=1)).softmax(dim=-1)
    assert close(probabilities, classes[:, :3])
    best = probabilities.argsort(dim=-1, descending=True)[:, :2]
    assert close(encoded[:, -2:], model.concept_features(best, probabilities.gather(1, best)))
    assert not close(encoded[:, -2:], model.concept_features(best, probabilities.gather(1, best) + 0.5))


@torch.no_grad()
def test_adapted_blocks_that_are_as_they_came_change_nothing(hybrid: Blip) -> None:
    """The map where training enters lies before them; the classifier keeps the network's own way."""
    model = build(vision=replace(HYBRID, adapted_blocks=2))
    weights = dict(hybrid.state_dict())
    own = "vision_model.embeddings.backbone."
    for i, block in enumerate((19, 20)):
        for name, value in hybrid.state_dict().items():
            if name.startswith(f"{own}blocks.{block}."):
                weights[name.replace(f"{own}blocks.{block}.", f"vision_model.embeddings.adapted.blocks.{i}.")] = value
    for part in ("weight", "bias"):
        weights[f"vision_model.embeddings.adapted.head.{part}"] = weights[f"{own}head.{part}"]
    model.load_state_dict(weights)
    pixels = torch.randn(2, 3, 96, 96)
    features = model.backbone_features(pixels)
    assert features.shape == (2, 9, 208)
    assert close(model.encode(pixels), hybrid.encode(pixels))
    assert close(model.encode_map(features), hybrid.encode(pixels))
    before = model.concept_probabilities(features)
    model.vision_model.embeddings.adapted.head.bias.data += 1
    assert close(model.concept_probabilities(features), before)
    assert not close(model.encode(pixels)[:, 1:10], hybrid.encode(pixels)[:, 1:10])


@torch.no_grad()
def test_concept_words_without_tokens_leave_the_features_alone() -> None:
    model = build(vision=replace(HYBRID, concept_tokens=0))
    features = model.backbone_features(torch.randn(1, 3, 96, 96))
    assert model.encode_map(features).shape == (1, 10, 24)
    assert model.concept_probabilities(features).shape == (1, 3)
    with pytest.raises(CapabilityError):
        model.concept_features(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1))


def test_what_only_a_hybrid_has_is_refused_elsewhere() -> None:
    with pytest.raises(CapabilityError, match="map"):
        build().backbone_features(torch.zeros(1, 3, 32, 32))
    with pytest.raises(CapabilityError, match="concept"):
        build().concept_probabilities(torch.zeros(1, 9, 1280))


@torch.no_grad()
def test_a_hybrid_encodes_other_sizes(hybrid: Blip) -> None:
    assert hybrid.encode(torch.randn(1, 3, 130, 130)).shape == (1, 1 + 5**2 + 2, 24)
