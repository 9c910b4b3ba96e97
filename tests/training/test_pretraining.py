"""The three objectives on pairs against the paper's formulas, written out pair by pair and token by token."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from tiny_pairs import CLS, objective, pair_config, pair_model, pairs
from tiny_training import CLASSES_OF_WORDS, CONFIG
from torch import Tensor

from seesay.blip.model import Blip
from seesay.errors import CapabilityError, UsageError
from seesay.training.contrastive import Vectors
from seesay.training.loop import Step, mixed
from seesay.training.matching import Negatives, draw_negatives
from seesay.training.pretraining import PairObjective, Pairs

TEXT = pair_config().text


def embedded(model: Blip, batch: Pairs) -> Vectors:
    """By the model's own verbs, each text alone."""
    texts = [model.embed_text(torch.tensor([[CLS, *text, TEXT.eos_token_id]]), None) for text in batch.captions]
    return Vectors(model.embed_image(model.encode(batch.images)), torch.cat(texts))


def contrastive(own: Vectors, slow: Vectors, batch: Pairs, earlier: Sequence[tuple[Vectors, Pairs]]) -> float:
    """Section 3.2 of arXiv 2107.07651: cross-entropy with y = (1 - alpha) * what is paired + alpha * slow softmax."""
    alpha, temperature = 0.4, 0.07
    images = torch.cat([slow.image, *(vectors.image for vectors, _ in earlier)])
    texts = torch.cat([slow.text, *(vectors.text for vectors, _ in earlier)])
    image_ids = torch.cat([batch.ids, *(past.ids for _, past in earlier)]).tolist()
    text_ids = torch.cat([batch.owners, *(past.owners for _, past in earlier)]).tolist()

    def mean(queries: Tensor, slows: Tensor, ids: Sequence[int], found: Tensor, found_ids: Sequence[int]) -> float:
        losses = []
        for query, by_slow, one in zip(queries, slows, ids, strict=True):
            log_p = torch.log(torch.softmax(found @ query / temperature, 0))
            right = torch.tensor([float(other == one) for other in found_ids])
            y = (1 - alpha) * right / right.sum() + alpha * torch.softmax(found @ by_slow / temperature, 0)
            losses.append(-(y * log_p).sum().item())
        return sum(losses) / len(losses)

    to_text = mean(own.image, slow.image, batch.ids.tolist(), texts, text_ids)
    to_image = mean(own.text, slow.text, batch.owners.tolist(), images, image_ids)
    return (to_text + to_image) / 2


def matching(model: Blip, batch: Pairs, wrong: Negatives) -> float:
    """Two-way cross-entropy of 1 right and 2 wrong pairs for each caption."""
    each = len(batch.captions) // len(batch.ids)
    asked = [(i // each, i, 1) for i in range(len(batch.captions))]
    asked += [(image, i, 0) for i, image in enumerate(wrong.images.tolist())]
    asked += [(i // each, text, 0) for i, text in enumerate(wrong.texts.tolist())]
    features, losses = model.encode(batch.images), []
    for image, text, label in asked:
        ids = torch.tensor([[TEXT.enc_token_id, *batch.captions[text], TEXT.eos_token_id]])
        losses.append(-model.match(ids, None, features[image][None])[0].log_softmax(0)[label].item())
    return sum(losses) / len(losses)


def language(model: Blip, batch: Pairs) -> float:
    """Cross-entropy of each token, a tenth of its weight spread over the vocabulary."""
    each = len(batch.captions) // len(batch.ids)
    features, losses = model.encode(batch.images), []
    for i, caption in enumerate(batch.captions):
        logits = model.decode(torch.tensor([[TEXT.bos_token_id, *caption]]), None, features[i // each][None])[0]
        for scores, token in zip(logits.log_softmax(1), [*caption, TEXT.eos_token_id], strict=True):
            losses.append(-(0.9 * scores[token] + 0.1 * scores.mean()).item())
    return sum(losses) / len(losses)


def move(model: Blip) -> None:
    """Make the model another than its slow towers."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)


@pytest.mark.parametrize(("images", "each"), [(2, 1), (4, 1), (3, 3)])
def test_each_loss_is_the_papers(images: int, each: int) -> None:
    model = pair_model()
    aim = objective(model, queue=40)
    before = pair_model()  # as the slow towers still are
    with torch.no_grad():
        past = [pairs(2, each, start=1), pairs(images, each, start=20)]  # image 1 comes again
        for step, batch in enumerate(past):
            aim(batch, step)
        earlier = [(embedded(before, batch), batch) for batch in past]
        move(model)
        batch = pairs(images, each)
        own, slow = embedded(model, batch), embedded(before, batch)
        figures = aim(batch, 2).figures
        draws = torch.Generator().manual_seed(mixed(5, 2))
        wrong = draw_negatives(own, torch.tensor([0.07]), batch.ids, batch.owners, draws)
        expected = {
            "itc": contrastive(own, slow, batch, earlier),
            "itm": matching(model, batch, wrong),
            "lm": language(model, batch),
        }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=2e-5)
    assert abs(expected["itc"] - contrastive(own, slow, batch, [])) > 0.01  # the queue counts


def test_the_losses_add_up_and_reach_every_weight() -> None:
    model = pair_model()
    aim = objective(model)
    step = aim(pairs(4, 2), 0)
    assert step.loss.item() == pytest.approx(sum(step.figures[name] for name in ("itc", "itm", "lm")), rel=1e-5)
    step.loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert aim.contrast.temperature.grad is not None
    assert all(parameter.grad is None for parameter in aim.contrast.towers.parameters())


def test_a_retrieval_model_has_no_third_loss() -> None:
    step = objective(pair_model("match"))(pairs(3, 2), 0)
    assert "lm" not in step.figures
    assert step.loss.item() == pytest.approx(step.figures["itc"] + step.figures["itm"], rel=1e-5)


def test_a_captioning_model_is_refused() -> None:
    with pytest.raises(CapabilityError, match="'caption'"):
        objective(Blip(pair_config("caption")))


def test_maps_serve_as_well_as_pixels() -> None:
    """The hybrid from cached maps, with concept tokens; some of what it sees can be hidden from its decoder."""
    torch.manual_seed(0)
    model = Blip(replace(CONFIG, task="pretrain"))
    model.vision_model.concepts.words.copy_(torch.from_numpy(CLASSES_OF_WORDS))
    pixels = torch.rand(3, 3, 64, 64)
    maps = model.backbone_features(pixels).detach()
    captions = pairs(3, 2).captions
    found = [objective(model)(Pairs(images, torch.arange(3), captions), 0).loss for images in (pixels, maps)]
    assert found[0].item() == pytest.approx(found[1].item(), rel=1e-5)
    shown, hidden = (objective(model, hide=hide)(Pairs(maps, torch.arange(3), captions), 0) for hide in (0.0, 0.5))
    assert hidden.figures["itm"] == pytest.approx(shown.figures["itm"])
    assert hidden.figures["lm"] != pytest.approx(shown.figures["lm"])


def test_features_of_a_frozen_image_side_serve_too() -> None:
    model, batch = pair_model(), pairs(3, 2)
    model.vision_model.requires_grad_(False)
    features = replace(batch, images=model.encode(batch.images))
    found = [objective(model)(each, 0).loss.item() for each in (batch, features)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_head_that_knows_only_how_many_pairs_are_right() -> None:
    """One right pair to two wrong ones: the entropy of a third."""
    model = pair_model()
    with torch.no_grad():
        model.itm_head.weight.zero_()
        model.itm_head.bias.copy_(torch.tensor([2 / 3, 1 / 3]).log())
    figures = objective(model)(pairs(4, 2), 0).figures
    assert figures["itm"] == pytest.approx(0.6365, abs=1e-4)
    assert figures["itm accuracy"] == pytest.approx(2 / 3)


def test_one_image_alone_has_nothing_to_be_confused_with() -> None:
    batch = pairs(2)
    with pytest.raises(UsageError, match="the same"):
        objective(pair_model())(replace(batch, ids=torch.tensor([7, 7])), 0)


def optimizer(model: Blip, aim: PairObjective) -> torch.optim.Optimizer:
    return torch.optim.Adam([*model.parameters(), aim.contrast.temperature], 2e-3)


def train(model: Blip, aim: PairObjective, steps: range, adam: torch.optim.Optimizer) -> list[Step]:
    done = []
    for step in steps:
        made = aim(pairs(4, 2, start=4 * (step % 2)), step)
        made.loss.backward()
        adam.step()
        adam.zero_grad()
        aim.follow()
        done.append(made)
    return done


def test_eight_pairs_are_learned() -> None:
    """Each of eight images finds its caption first, and each caption its image; matching tells them from the others."""
    model, batch, steps = pair_model(), pairs(8), 80
    aim = objective(model, queue=16, ramp=40, momentum=0.9)
    adam = optimizer(model, aim)
    for step in range(steps):
        adam.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        made = aim(batch, step)
        made.loss.backward()
        adam.step()
        adam.zero_grad()
        aim.follow()
    with torch.no_grad():
        vectors = embedded(model, batch)
    similarity = vectors.image @ vectors.text.T
    assert similarity.argmax(dim=1).tolist() == list(range(8))
    assert similarity.argmax(dim=0).tolist() == list(range(8))
    assert made.figures["itm accuracy"] > 0.85  # two thirds for a head that always says no


def test_a_run_goes_on_from_what_the_objective_keeps() -> None:
    whole = pair_model()
    aim = objective(whole, queue=7, ramp=4)
    adam = optimizer(whole, aim)
    train(whole, aim, range(3), adam)
    state = io.BytesIO()
    torch.save([whole.state_dict(), aim.contrast.state_dict(), adam.state_dict()], state)
    state.seek(0)
    again = pair_model()
    resumed = objective(again, queue=7, ramp=4)
    second = optimizer(again, resumed)
    for part, saved in zip((again, resumed.contrast, second), torch.load(state, weights_only=True), strict=True):
        part.load_state_dict(saved)
    expected = [dict(step.figures) for step in train(whole, aim, range(3, 6), adam)]
    assert [dict(step.figures) for step in train(again, resumed, range(3, 6), second)] == expected
    for name, value in aim.contrast.state_dict().items():
        assert torch.equal(value, resumed.contrast.state_dict()[name]), name
