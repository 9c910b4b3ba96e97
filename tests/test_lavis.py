"""The doorway for LAVIS notebooks: code as in LAVIS's README, over small models that lie on a hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

import seesay
from hub_server import HubServer
from seesay.describe import Blip
from seesay.errors import CapabilityError, ModelNotFound, UsageError
from seesay.lavis import (
    ZOO,
    BlipCaptionProcessor,
    load_model,
    load_model_and_preprocess,
    load_processor,
    model_zoo,
)
from seesay.models import presets
from tiny_models import tiny_model
from tiny_vlms import tiny_vlm

NOTEBOOK = Path(__file__).parents[1] / "examples" / "lavis.ipynb"
TASKS = {"blip-base": "caption", "blip-itm-base-coco": "match", "blip-vqa-capfilt-large": "answer"}
BLIP_2 = {"blip2-opt-2.7b": "blip2-opt", "blip2-opt-2.7b-coco": "blip2-opt", "blip2-flan-t5-xl": "blip2-t5"}
RAW = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8))


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A hub where the public names stand for small models."""
    folder = tmp_path_factory.mktemp("lavis")
    with HubServer() as running, pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setenv("SEESAY_PRECISION", "fp32")
        patch.setenv("SEESAY_THREADS", "1")
        patch.chdir(folder)
        for name, task in TASKS.items():
            made = tiny_model(folder / name / "made", task, seed=2)  # type: ignore[arg-type]
            repository = presets()[name].repository
            assert repository
            running.add(repository, {file.name: file.read_bytes() for file in made.iterdir()})
        for name, family in BLIP_2.items():
            made = tiny_vlm(folder / family, family)
            running.add(f"Salesforce/{name}", {file.name: file.read_bytes() for file in made.iterdir()})
        yield running


def loaded(name: str) -> Blip:
    model = seesay.load(name)
    assert isinstance(model, Blip)
    return model


README = """
import torch
from lavis.models import load_model_and_preprocess
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model, vis_processors, _ = load_model_and_preprocess(name="blip_caption", model_type="base_coco", is_eval=True, device=device)
image = vis_processors["eval"](raw_image).unsqueeze(0).to(device)
captions = model.generate({"image": image})
torch.manual_seed(7)
sampled = model.generate({"image": image}, use_nucleus_sampling=True, num_captions=3)

from lavis.models import load_model_and_preprocess
model, vis_processors, txt_processors = load_model_and_preprocess(name="blip_vqa", model_type="vqav2", is_eval=True, device=device)
question = "Is the RED boat on the water?"
image = vis_processors["eval"](raw_image).unsqueeze(0).to(device)
question = txt_processors["eval"](question)
answers = model.predict_answers(samples={"image": image, "text_input": question}, inference_method="generate")
ranked = model.predict_answers({"image": image, "text_input": question}, inference_method="rank", answer_list=["red", "a boat", "red"], num_ans_candidates=2)

from lavis.models import load_model_and_preprocess
model, vis_processors, txt_processors = load_model_and_preprocess(name="blip_feature_extractor", model_type="base", is_eval=True, device=device)
caption = "a large boat on the water"
image = vis_processors["eval"](raw_image).unsqueeze(0).to(device)
text_input = txt_processors["eval"](caption)
sample = {"image": image, "text_input": [text_input]}
features_multimodal = model.extract_features(sample)
features_image = model.extract_features(sample, mode="image")
features_text = model.extract_features(sample, mode="text")
similarity = features_image.image_embeds_proj[:,0,:] @ features_text.text_embeds_proj[:,0,:].t()

from lavis.models import load_model_and_preprocess
model, vis_processors, text_processors = load_model_and_preprocess("blip_image_text_matching", "base", device=device, is_eval=True)
img = vis_processors["eval"](raw_image).unsqueeze(0).to(device)
txt = text_processors["eval"](caption)
itm_output = model({"image": img, "text_input": txt}, match_head="itm")
itm_scores = torch.nn.functional.softmax(itm_output, dim=1)
itc_score = model({"image": img, "text_input": txt}, match_head="itc")
"""  # noqa: E501


@pytest.fixture(scope="module")
def notebook(hub: HubServer) -> dict[str, Any]:
    """What LAVIS's README leaves behind when it has run."""
    names: dict[str, Any] = {"raw_image": RAW}
    exec(README.replace("lavis.models", "seesay.lavis"), names)
    return names


def test_captions_are_the_models_own_without_the_prompt(notebook: dict[str, Any]) -> None:
    model = loaded("blip-base")
    # the prompt's four tokens, the start token among them, count into LAVIS's 10 to 30
    best = model.caption(RAW, prompt="a picture of", min_new_tokens=6, max_new_tokens=26)
    assert notebook["captions"] == [model.tokenizer.decode(best.tokens)]
    assert all(notebook["captions"])


def test_samples_repeat_after_torchs_seed(notebook: dict[str, Any]) -> None:
    model, processors, _ = load_model_and_preprocess("blip_caption", "base_coco", is_eval=True)
    pixels = processors["eval"](RAW)[None]
    torch.manual_seed(7)
    assert model.generate({"image": pixels}, use_nucleus_sampling=True, num_captions=3) == notebook["sampled"]
    assert len(set(notebook["sampled"])) > 1
    both = model.generate({"image": torch.cat([pixels, pixels * 0])}, num_captions=2)
    assert len(both) == 4
    assert both[0] == notebook["captions"][0]
    assert both[:2] != both[2:]


def test_answers_are_the_models_own(notebook: dict[str, Any]) -> None:
    model = loaded("blip-vqa-capfilt-large")
    question = "is the red boat on the water?"
    assert notebook["question"] == question
    assert notebook["answers"] == [model.ask(RAW, question).text]
    assert notebook["ranked"] == [model.ask(RAW, question, answers=("red", "a boat")).text]


def test_both_heads_say_what_match_says(notebook: dict[str, Any]) -> None:
    told = loaded("blip-itm-base-coco").match(RAW, "a large boat on the water")
    assert notebook["itm_scores"].shape == (1, 2)
    assert float(notebook["itm_scores"][0, 1]) == pytest.approx(told.probability, abs=1e-5)
    assert float(notebook["itc_score"]) == pytest.approx(told.similarity, abs=1e-5)


def test_features_are_those_behind_the_heads(notebook: dict[str, Any]) -> None:
    model = loaded("blip-itm-base-coco")
    image, text = notebook["features_image"], notebook["features_text"]
    assert image.image_embeds.shape == (1, 5, 32)
    assert image.image_embeds_proj.shape == (1, 5, 16)
    assert text.text_embeds.shape == (1, 8, 32)
    np.testing.assert_allclose(image.image_embeds_proj[0, 0], model.embed_image(RAW).vector, atol=1e-5)
    caption = "a large boat on the water"
    np.testing.assert_allclose(text.text_embeds_proj[0, 0], model.embed_text(caption).vector, atol=1e-5)
    assert float(notebook["similarity"]) == pytest.approx(float(notebook["itc_score"]), abs=1e-5)
    head = {name: torch.from_numpy(model.checkpoint.weights[f"itm_head.{name}"].copy()) for name in ("weight", "bias")}
    states = notebook["features_multimodal"].multimodal_embeds
    assert states.shape == (1, 8, 32)
    logits = torch.nn.functional.linear(states[:, 0], head["weight"], head["bias"])
    torch.testing.assert_close(logits, notebook["itm_output"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "kind"), [("blip2_opt", "pretrain_opt2.7b"), ("blip2_t5", "pretrain_flant5xl")])
def test_blip_2_answers_prompts_as_the_same_model_elsewhere(name: str, kind: str) -> None:
    model, processors, _ = load_model_and_preprocess(name=name, model_type=kind, is_eval=True, device="cpu")
    other = seesay.load(ZOO[name][1][kind])
    pixels = processors["eval"](RAW)[None]
    prompt = "Question: which city is this? Answer:"
    # (an answer's " ".join: doors hand out what was written, the library one line)
    said = model.generate({"image": pixels, "prompt": prompt})
    assert [" ".join(text.split()) for text in said] == [
        other.ask(RAW, "which city is this?", beams=5, max_new_tokens=30).text
    ]
    plain = other.caption(RAW, beams=5, max_new_tokens=30, count=3)
    several = model.generate({"image": torch.cat([pixels, pixels * 0])}, num_captions=3)
    assert len(several) == 6
    assert [" ".join(text.split()) for text in several[:3]] == [one.text for one in plain.all]
    assert several[:3] != several[3:]
    asked = model.predict_answers({"image": pixels, "text_input": "which city?"}, prompt="Question: {} Answer:")
    assert len(asked) == 1
    torch.manual_seed(3)
    first = model.generate({"image": pixels}, use_nucleus_sampling=True, num_captions=2, temperature=2)
    torch.manual_seed(3)
    assert first == model.generate({"image": pixels}, use_nucleus_sampling=True, num_captions=2, temperature=2)


def test_blip_2_fine_tuned_on_coco_opens_with_its_prompt() -> None:
    tuned, processors, _ = load_model_and_preprocess("blip2_opt", "caption_coco_opt2.7b")
    plain = load_model("blip2_opt", "pretrain_opt2.7b")  # of the same weights here
    pixels = processors["eval"](RAW)[None]
    assert tuned.generate({"image": pixels}) == plain.generate({"image": pixels, "prompt": "a photo of"})
    assert tuned.generate({"image": pixels}) != plain.generate({"image": pixels})


def test_the_notebook_runs(capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "clear the outputs: they are not this machine's"
            exec("".join(cell["source"]), names)
    printed = capsys.readouterr().out
    assert "blip_caption" in printed
    assert "matched with a probability of" in printed
    assert len(names["captions"]) == len(names["told"]) == 1
    assert names["answers"][0] in ("a cup of coffee", "a dog", "a boat")
    assert sum(names["probs"]) == pytest.approx(1)


def test_a_checkpoint_of_ones_own_stands_in(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "mine", "caption", seed=5)
    mine = load_model("blip_caption", "base_coco", checkpoint=folder)
    theirs = load_model("blip_caption", "base_coco")
    pixels = {"image": load_processor("blip_image_eval", {"image_size": 32})(RAW)[None]}
    assert mine.generate(pixels) != theirs.generate(pixels)


def test_every_type_has_weights_that_can_be_named() -> None:
    for _, types in ZOO.values():
        assert all(source in presets() or "/" in source for source in types.values())
    table = str(model_zoo).splitlines()
    assert len(table) == len(model_zoo) + 3
    assert any(row.split(maxsplit=1) == ["blip_caption", "base_coco, large_coco"] for row in table)


@pytest.mark.parametrize(
    ("text", "caption", "question"),
    [
        ("Two (2) dogs:  RUN!\n", "two 2 dogs run", "two 2 dogs  run\n"),
        ("is it #1; or ~2?", "is it 1 or 2?", "is it 1 or 2?"),
        ("one two three four", "one two", "one two"),
    ],
)
def test_texts_are_cleaned_as_lavis_cleans_them(text: str, caption: str, question: str) -> None:
    words = 2 if text.startswith("one") else 50
    assert load_processor("blip_caption", {"max_words": words})(text) == caption
    assert load_processor("blip_question", {"max_words": words})(text) == question
    assert BlipCaptionProcessor.build(prompt="a photo of ", max_words=words)(text) == f"a photo of {caption}"


def test_what_is_not_here_is_told() -> None:
    with pytest.raises(ModelNotFound, match="albef_vqa") as caught:
        load_model("albef_vqa", "vqav2")
    assert "blip_vqa" in caught.value.remedy
    with pytest.raises(ModelNotFound, match="okvqa") as caught:
        load_model_and_preprocess("blip_vqa", "okvqa")
    assert "vqav2" in caught.value.remedy
    model, processors, _ = load_model_and_preprocess("blip_caption", "base_coco")
    with pytest.raises(CapabilityError) as capability:
        model({"image": None, "text_input": ["a cat"]})
    assert "seesay train" in capability.value.remedy
    for wrong in (lambda: processors["train"], lambda: model.to("meta")):
        with pytest.raises(UsageError):
            wrong()
    assert model.eval().to("cpu") is model
