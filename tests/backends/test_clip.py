"""CLIP and SigLIP, tiny and random, beside transformers' own forward pass, and beside BLIP in the tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from seesay.backends.clip import Clip
from seesay.cli.main import cli
from seesay.errors import CapabilityError, ImageNotFound, ModelNotFound
from tiny_models import tiny_model

WORDS = ["[PAD]", "[BOS]", "[EOS]", "[UNK]", "a", "photo", "of", "the", "cat", "dog", "red", "blue"]
TEXTS = ["a photo of a cat", "red dog", "the cat the dog the cat the dog the cat the dog"]
LONGEST = 9
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = TOWER | {"vocab_size": len(WORDS), "max_position_embeddings": LONGEST, "pad_token_id": 0}
VISION = TOWER | {"image_size": 32, "patch_size": 16}


def tokenizer() -> PreTrainedTokenizerFast:
    fast = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 1), ("[EOS]", 2)]
    )
    special = {"pad_token": "[PAD]", "bos_token": "[BOS]", "eos_token": "[EOS]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=fast, **special)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path: Path = tmp_path_factory.mktemp("models") / request.param
    special = {"bos_token_id": 1, "eos_token_id": 2}
    if request.param == "clip":
        model = CLIPModel(CLIPConfig(text_config=TEXT | special, vision_config=VISION, projection_dim=8))
        size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        CLIPImageProcessorPil(**size).save_pretrained(path)
    else:
        model = SiglipModel(SiglipConfig(text_config=TEXT | special, vision_config=VISION))
        SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(path)
    model.eval().save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def test_vectors_are_those_of_the_whole_model(folder: Path) -> None:
    pictures = [Image.new("RGB", (50, 40), colour) for colour in ("red", "blue")]
    clip = Clip(str(folder))
    images, texts = clip.embed_images(pictures), clip.embed_texts(TEXTS)
    kind = {
        "clip": (CLIPModel, CLIPImageProcessorPil, True),
        "siglip": (SiglipModel, SiglipImageProcessorPil, "max_length"),
    }
    model, processor, padding = kind[folder.name]
    inputs = tokenizer()(TEXTS, padding=padding, max_length=LONGEST, truncation=True, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    pixels = processor.from_pretrained(folder)(pictures, return_tensors="pt")
    with torch.no_grad():
        whole = model.from_pretrained(folder)(**inputs, **pixels)
    for ours, theirs in ((images, whole.image_embeds), (texts, whole.text_embeds)):
        unit = theirs / theirs.norm(dim=-1, keepdim=True)
        assert np.stack([one.vector for one in ours]) == pytest.approx(unit.numpy(), abs=1e-5)
    assert {one.model for one in (*images, *texts)} == {str(folder)}


def test_a_bad_picture_costs_only_its_own_vector(folder: Path) -> None:
    clip = Clip(str(folder))
    missing, good = clip.embed_images(["nowhere.png", Image.new("RGB", (9, 9))])
    assert isinstance(missing, ImageNotFound)
    assert np.linalg.norm(good.vector) == pytest.approx(1)
    assert len(clip.embed_images(["nowhere.png"])) == 1


def test_what_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="nothing"):
        Clip(str(tmp_path / "nothing"), offline=True)
    BertModel(BertConfig(vocab_size=12, **TOWER)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    CLIPImageProcessorPil().save_pretrained(tmp_path)
    with pytest.raises(CapabilityError, match=r"\(bert\) has no towers"):
        Clip(str(tmp_path))


def test_it_stands_beside_blip_in_the_tables(
    folder: Path, photos: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    """Same pictures, same texts; and its recalls are those of its own vectors."""
    blip = tiny_model(tmp_path / "blip", "match")
    words = ["the cat", "a dog", "red", "blue", "red dog", "photo"]
    captions = {path.name: f"a photo of {text}" for path, text in zip(sorted(photos.iterdir()), words, strict=True)}
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"image": f"photos/{n}", "caption": c}) + "\n" for n, c in captions.items()))
    arguments = ["retrieval", "--data", str(data), "--model", str(blip), "--clip", str(folder), "--json"]
    done = CliRunner().invoke(cli, ["evaluate", *arguments], env=machine)
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert [row["model"] for row in report["rows"]] == [f"{blip} ITC", str(folder)]
    assert "transformers" in report["versions"]
    clip = Clip(str(folder))
    images = np.stack([one.vector for one in clip.embed_images(sorted(photos.iterdir()))])
    scores = images @ np.stack([one.vector for one in clip.embed_texts(list(captions.values()))]).T
    ahead = [(row >= row[i]).sum() - 1 for i, row in enumerate(scores)]
    assert report["rows"][1]["text R@5"] == pytest.approx(100 * np.mean(np.array(ahead) < 5))


def test_clipscore_has_clipscores_form(folder: Path, photos: Path, machine: dict[str, str], tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    rows = [json.dumps({"file_name": path.name, "caption": "a red dog"}) for path in photos.iterdir()]
    results.write_text("\n".join(rows), encoding="utf-8")
    arguments = ["reference-free", "--results", str(results), "--images", str(photos), "--clip", str(folder), "--json"]
    done = CliRunner().invoke(cli, ["evaluate", *arguments], env=machine)
    assert done.exit_code == 0, done.stderr
    clip = Clip(str(folder))
    [text] = clip.embed_texts(["A photo depicts a red dog"])
    scores = [2.5 * max(0.0, float(one.vector @ text.vector)) for one in clip.embed_images(list(photos.iterdir()))]
    [row] = json.loads(done.stdout)["rows"]
    assert row["CLIPScore"] == pytest.approx(100 * sum(scores) / len(scores), abs=1e-3)
    assert row["ITM"] is None
