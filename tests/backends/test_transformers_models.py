"""Open-weight models: every family on a small random checkpoint of its own class, loaded by its public layout."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants
from PIL import Image

import seesay
from hub_server import HubServer
from seesay.backends.families import CHAT, FAMILIES
from seesay.backends.transformers import TransformersModel
from seesay.errors import CapabilityError, CheckpointError, ImageNotFound, MissingExtra, UsageError
from seesay.records import Turn
from tiny_vlms import FAMILIES as TINY
from tiny_vlms import tiny_vlm

Load = Callable[[str], TransformersModel]
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 44, 3), np.uint8))
RED = Image.new("RGB", (40, 40), "red")
CHATS = [name for name in TINY if not name.startswith(("blip2", "instructblip", "paligemma", "florence2"))]
ANSWER = [name for name in TINY if name != "florence2"]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Small models by family, each made once."""
    folder = tmp_path_factory.mktemp("vlms")
    made: dict[str, TransformersModel] = {}

    def load(family: str) -> TransformersModel:
        if family not in made:
            found = seesay.load(tiny_vlm(folder / family, family), precision="fp32", threads=1)
            assert isinstance(found, TransformersModel)
            made[family] = found
        return made[family]

    return load


@pytest.mark.parametrize("family", TINY)
def test_captions_do_not_depend_on_their_neighbours(load: Load, family: str) -> None:
    model = load(family)
    one, missing, other = model.captions([NOISE, "nowhere.jpg", RED], max_new_tokens=8)
    assert isinstance(missing, ImageNotFound)
    for batched, image in ((one, NOISE), (other, RED)):
        alone = model.caption(image, max_new_tokens=8)
        assert isinstance(batched, seesay.Caption)
        assert (alone.text, alone.tokens, alone.flags) == (batched.text, batched.tokens, batched.flags)
        assert alone.score == pytest.approx(batched.score, abs=1e-4)
    assert one.score != pytest.approx(other.score, abs=1e-3)  # type: ignore[union-attr]
    made = alone.provenance
    assert made is not None
    assert (made.engine, made.precision, made.versions["transformers"]) == (
        "transformers",
        "fp32",
        transformers.__version__,
    )
    assert made.options["beams"] == (1 if family in CHATS else 3)


@pytest.mark.parametrize("family", ANSWER)
def test_questions_of_several_lengths_share_a_batch(load: Load, family: str) -> None:
    model = load(family)
    questions = ["Is it?", "What stands to the left of the longest thing in it?"]
    for question, batched in zip(questions, model.answers([NOISE, NOISE], questions, max_new_tokens=5), strict=True):
        alone = model.ask(NOISE, question, max_new_tokens=5)
        assert isinstance(batched, seesay.Answer)
        assert alone.tokens == batched.tokens
        assert alone.probability == pytest.approx(np.exp(sum(alone.token_scores)))


REFERENCE = {  # family -> the prompt as the model's card writes it, pictures per text as a list, beams
    "blip2-opt": ("Question: Is it red? Answer:", 3),
    "blip2-t5": ("Question: Is it red? Answer:", 3),
    "instructblip-vicuna": ("Question: Is it red? Short answer:", 3),
    "paligemma": ("<image>answer en Is it red?", 3),
    "llava-1.5": ("USER: <image>\nIs it red? ASSISTANT:", 1),
    "llava-1.6": ("USER: <image>\nIs it red? ASSISTANT:", 1),
}


@pytest.mark.parametrize("family", REFERENCE)
def test_answers_are_those_that_transformers_itself_gives(load: Load, family: str) -> None:
    model = load(family)
    prompt, beams = REFERENCE[family]
    processor = transformers.AutoProcessor.from_pretrained(model.name)
    reference = transformers.AutoModelForImageTextToText.from_pretrained(model.name, dtype=torch.float32).eval()
    inputs = processor(images=NOISE, text=prompt, return_tensors="pt")
    inputs.pop("labels", None)
    written = reference.generate(**inputs, num_beams=beams, do_sample=False, max_new_tokens=6)[0]
    if family in CHATS:
        said = "".join(model.converse(NOISE, (), "Is it red?", max_tokens=6))
        assert processor.decode(written, skip_special_tokens=True).endswith(said)
        assert said
        return
    answer = model.ask(NOISE, "Is it red?", max_new_tokens=6)
    ids = [token for token in written.tolist() if token not in (0, 1, 2)]
    assert ids[-len(answer.tokens) :] == [token for token in answer.tokens if token not in (0, 1)]


@pytest.mark.parametrize("family", ANSWER)
def test_answers_to_choose_from_are_ranked_by_their_likelihood(
    load: Load, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(family)
    best = model.ask(NOISE, "What colour?", answers=("red", "dark blue", "no", "x"))
    assert sorted(one.text for one in best.all) == ["dark blue", "no", "red", "x"]
    chances = [one.probability for one in best.all]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1)  # type: ignore[arg-type]
    alone = [model.ask(NOISE, "What colour?", answers=(one.text,)) for one in best.all]
    if family not in CHATS:  # these are told what there is to choose from
        assert [one.score for one in alone] == pytest.approx([one.score for one in best.all], abs=1e-4)
    # What was written scores the same when it is forced: beams are followed back to the logits that they came of.
    said = model.ask(NOISE, "What colour?", beams=4, max_new_tokens=6)
    end = min(model.runner._ends)
    monkeypatch.setattr(model.runner, "_tokens", lambda answer: (*said.tokens, end))
    [prompt] = [model._prompt(model._asks("What colour?", seesay.AskOptions()))]
    [forced] = model.runner.rank(model._sight(NOISE), prompt, ["said"])
    scores = said.token_scores
    assert forced.scores[: len(scores)] == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("family", TINY)
def test_the_image_encoder_looks_once_at_a_picture_that_was_seen(load: Load, family: str) -> None:
    model = load(family)
    inner = model.runner._model
    parts = [inner, getattr(inner, "model", inner)]
    tower = next(found for part in parts for name in ("vision_tower", "visual", "vision_model")
                 if (found := getattr(part, name, None)) is not None)  # fmt: skip
    looks: list[int] = []
    part = next(module for module in tower.modules() if not list(module.children()))
    hook = part.register_forward_hook(lambda *_: looks.append(1))
    first, again = model.caption(NOISE, max_new_tokens=4), model.caption(NOISE, max_new_tokens=4)
    unseen = len(looks)
    seen = model.see(NOISE)
    looks.clear()
    assert {model.caption(seen, max_new_tokens=4).tokens for _ in range(3)} == {first.tokens} == {again.tokens}
    hook.remove()
    assert len(looks) == unseen // 2 > 0


@pytest.mark.parametrize("family", [name for name in ANSWER if name != "paligemma"])
def test_a_conversation_has_its_earlier_turns_in_the_prompt(load: Load, family: str) -> None:
    model = load(family)
    turns = [Turn("Which city is this?", "Singapore"), Turn("Why?", "It has a merlion")]
    prompt = model._conversation(turns, "Sure?")
    text = prompt if isinstance(prompt, str) else model.runner._templated(prompt)
    if family in CHATS:
        mark = text[len("USER: ") : text.index("Which")]
        assert text == (
            f"USER: {mark}Which city is this? ASSISTANT: Singapore USER: Why? ASSISTANT: It has a merlion "
            "USER: Sure? ASSISTANT:"
        )
    elif family.startswith("blip2"):
        assert text == (
            "Question: Which city is this? Answer: Singapore. Question: Why? Answer: It has a merlion. "
            "Question: Sure? Answer:"
        )
    alone = "".join(model.converse(NOISE, (), "Sure?", max_tokens=8))
    assert alone != "".join(model.converse(NOISE, turns, "Sure?", max_tokens=8))


def test_pieces_come_as_they_are_written_and_stop_when_nobody_listens(load: Load) -> None:
    model = load("llava-1.5")
    whole = list(model.converse(NOISE, (), "What is it?", max_tokens=400))
    assert len(whole) > 3
    pieces = model.converse(NOISE, (), "What is it?", max_tokens=400)
    assert next(pieces) == whole[0]
    pieces.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "seesay-stream"]
    model.runner._model.generate, kept = None, model.runner._model.generate
    try:
        with pytest.raises(TypeError):
            list(model.converse(NOISE, (), "What is it?", max_tokens=4))
    finally:
        model.runner._model.generate = kept


def test_a_conversation_is_told_without_its_thinking_and_says_where_it_was_cut_off(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load("llava-1.5")
    cut: list[bool] = []

    def heard() -> Iterator[str]:
        cut.append((yield from model.converse(NOISE, (), "What is it?", max_tokens=2)))

    assert list(heard())
    assert cut == [True]  # random weights do not come to an end in two tokens

    def thought(*_: Any) -> Generator[str, None, bool]:
        yield from ("It looks", " red.</th", "ink>\n", "\nA red", " square")
        return False

    monkeypatch.setattr(model.runner, "stream", thought)
    begun = f"{model.runner.processor.chat_template}{{{{ ' <think>\n' }}}}"
    monkeypatch.setattr(model.runner.processor, "chat_template", begun)
    assert list(model.converse(NOISE, (), "What is it?", max_tokens=9)) == ["A red", " square"]


def test_blip_2_goes_on_from_given_words_and_never_says_others(load: Load) -> None:
    model = load("blip2-opt")
    plain = model.caption(NOISE, max_new_tokens=8)
    begun = model.caption(NOISE, prompt="a photo of", max_new_tokens=8)
    assert begun.text.startswith("a photo of")
    assert begun.tokens != plain.tokens
    word = model.runner.tokenizer.decode(plain.tokens[:1])
    if word.isascii() and word.strip():
        assert word not in model.caption(NOISE, bad_words=(word.strip(),), max_new_tokens=8).text
    assert len(model.caption(NOISE, forbidden=((plain.tokens[0],),), max_new_tokens=8).tokens) > 0
    assert plain.tokens[0] not in model.caption(NOISE, forbidden=((plain.tokens[0],),), max_new_tokens=8).tokens
    several = model.caption(NOISE, count=3, max_new_tokens=8)
    assert len({one.tokens for one in several.all}) == 3
    assert [sum(one.token_scores) / len(one.token_scores) for one in several.all] == [one.score for one in several.all]


def test_samples_repeat_for_a_seed_whatever_stands_beside_them(load: Load) -> None:
    model = load("llava-1.5")
    one = model.caption(NOISE, nucleus=True, seed=3, count=2, max_new_tokens=6)
    _, again = model.captions([RED, NOISE], nucleus=True, seed=3, count=2, max_new_tokens=6)
    assert isinstance(again, seesay.Caption)
    assert [each.tokens for each in one.all] == [each.tokens for each in again.all]
    assert one.tokens != model.caption(NOISE, nucleus=True, seed=4, count=2, max_new_tokens=6).tokens


def test_chat_models_follow_instructions_and_say_what_became_of_the_prompt(load: Load) -> None:
    model = load("qwen2-vl")
    said = model.instruct(NOISE, "Reply with one line.", max_tokens=5)
    assert len(said.token_scores) <= 5
    assert said.provenance is not None
    assert "prompt not kept" in model.caption(NOISE, prompt="a photograph of a zebra", max_new_tokens=6).flags


def test_capabilities_are_data_and_errors_name_a_model_that_can(load: Load) -> None:
    assert load("florence2").capabilities == {"caption"}
    assert load("paligemma").capabilities == {"caption", "ask"}
    assert load("blip2-t5").capabilities == {"caption", "ask", "chat"}
    assert load("instructblip-t5").capabilities == load("qwen3-vl").capabilities == CHAT.capabilities
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: load("llava-1.5").match(NOISE, "a cat"), "blip-itm-base-coco"),
        (lambda: load("llava-1.5").embed_texts(["a cat"]), "blip-itm-base-coco"),
        (lambda: load("florence2").ask(NOISE, "Is it red?"), "blip-vqa-base"),
        (lambda: load("florence2").caption(NOISE, prompt="a photo of"), "blip2-opt-2.7b"),
        (lambda: load("paligemma").converse(NOISE, (), "Is it red?", max_tokens=3), "Qwen"),
        (lambda: load("blip2-opt").instruct(NOISE, "Say no.", max_tokens=3), "Qwen"),
    ]
    for call, able in wrong:
        with pytest.raises(CapabilityError) as caught:
            call()
        assert able in caught.value.remedy
    for call in (
        lambda: load("llava-1.5").caption(load("blip2-opt").see(NOISE)),
        lambda: load("blip2-opt").ask(NOISE, "Is it?", answers=("yes", "")),
        lambda: load("blip2-opt").converse(NOISE, (), "?", max_tokens=3),
    ):
        with pytest.raises(UsageError):
            call()


def test_half_precision_and_what_quantizing_needs(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = load("blip2-opt").name
    half = seesay.load(folder, precision="bf16")
    made = half.caption(NOISE, max_new_tokens=4).provenance
    assert made is not None
    assert made.precision == "bf16"
    monkeypatch.setattr("seesay.backends.generation.find_spec", lambda name: None)
    for given in ({"precision": "int4"}, {"precision": "int8"}, {"device": "auto"}):
        with pytest.raises(MissingExtra) as caught:
            seesay.load(folder, **given)  # type: ignore[arg-type]
        assert "quantized" in caught.value.remedy


@pytest.mark.parametrize(("precision", "off"), [("int8", 0.05), ("int4", 0.5)])
def test_quantized_weights_say_nearly_the_same(load: Load, precision: str, off: float) -> None:
    full = load("llava-1.5")
    model = seesay.load(full.name, precision=precision, threads=1)
    assert isinstance(model, TransformersModel)
    found, whole = (one.caption(NOISE, max_new_tokens=8) for one in (model, full))
    assert found.score == pytest.approx(whole.score, abs=off)
    assert found.score != whole.score
    assert found.provenance is not None
    assert found.provenance.precision == precision


def test_what_cannot_be_loaded_says_why(tmp_path: Path, load: Load) -> None:
    def folder(name: str, **config: object) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        return tmp_path / name

    with pytest.raises(CapabilityError, match=r"clip\) writes nothing"):
        seesay.load(folder("clip", model_type="clip"))
    with pytest.raises(CheckpointError, match="code of its own"):
        seesay.load(folder("own", model_type="internvl_chat", auto_map={"AutoModel": "x.Y"}))
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        seesay.load(folder("empty", model_type="llava"))
    bare = tiny_vlm(tmp_path / "bare", "llava-1.5")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(CapabilityError, match="no chat template"):
        seesay.load(bare, threads=1)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.chdir(tmp_path)
        yield running


def test_a_hub_id_is_fetched_whole_and_stays(server: HubServer, tmp_path: Path) -> None:
    """Weights in several parts, and a tokenizer in a folder of its own."""
    made = tiny_vlm(tmp_path / "made", "instructblip-t5")
    model = transformers.AutoModelForImageTextToText.from_pretrained(made)
    (made / "model.safetensors").unlink()
    model.save_pretrained(made, max_shard_size="20KB")
    assert len(list(made.glob("*.safetensors"))) > 1
    (made / "README.md").write_text("Nothing that a model needs.")
    files = {path.relative_to(made).as_posix(): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    commit = server.add("Someone/instructblip", files)
    fetched = seesay.load("Someone/instructblip", threads=1)
    assert isinstance(fetched, TransformersModel)
    assert fetched.revision == commit
    assert not server.fetched("README.md")
    server.requests.clear()
    again = seesay.load("Someone/instructblip", offline=True, threads=1)
    assert not server.requests
    local = seesay.load(made, threads=1)
    captions = [one.caption(NOISE, max_new_tokens=6) for one in (fetched, again, local)]
    assert len({one.tokens for one in captions}) == 1


def test_every_family_names_models_that_people_use() -> None:
    for family in (*FAMILIES.values(), CHAT):
        assert family.examples
        assert all(name.count("/") == 1 for name in family.examples)
        assert "caption" in family.capabilities
