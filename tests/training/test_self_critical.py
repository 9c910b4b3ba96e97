"""Self-critical training: what is rewarded, and what the reward does."""

from __future__ import annotations

import pytest
import torch
from tiny_training import CONFIG, small_model

from seesay.blip.model import Blip
from seesay.evaluation import evaluate_captions, tokenize
from seesay.training.batches import Photos, Rows
from seesay.training.self_critical import CiderReward, sample, self_critical_loss

END = CONFIG.text.eos_token_id
WORDS = {7: "a", 8: "dog", 9: "cat", 10: "runs", 11: "on", 12: "grass"}


def words(tokens: list[int]) -> str:
    return " ".join(WORDS[token] for token in tokens if token != END)


def test_the_reward_is_the_cider_of_evaluation() -> None:
    references = {
        "one": ["A dog runs on grass.", "A dog on grass"],
        "two": ["a cat on grass", "The cat runs."],
        "three": ["a dog", "A dog, a cat"],
    }
    captions = {"one": [7, 8, 10, 11, 12, END], "two": [7, 9, 11, 12], "three": [9, END]}
    reward = CiderReward.of({name: [tokenize(one) for one in each] for name, each in references.items()}, words)
    scores = evaluate_captions({name: words(tokens) for name, tokens in captions.items()}, references)
    given = reward(list(captions), list(captions.values()))
    assert given.shape == (3, 1)
    assert given.flatten().tolist() == pytest.approx([scores.images[name].cider for name in captions])
    assert given.max() > 1


def log_probability(model: Blip, features: torch.Tensor, caption: list[int]) -> float:
    rows = Rows.of([caption], CONFIG.text)
    scores = model.decode(rows.ids, None, features).log_softmax(dim=-1)
    return float(scores.gather(2, rows.targets.unsqueeze(2)).sum())


def test_what_beats_its_peers_gets_likelier(photos: Photos) -> None:
    model = small_model()
    maps = photos.maps(photos.names[:2])
    captions = [[7, 8, 10, END], [7, 9, 11, END], [12, 10, END], [7, 12, END]]
    rewards = torch.tensor([[2.0, 0.5], [0.1, 0.3]])

    def scores() -> list[float]:
        with torch.no_grad():
            features = model.encode_map(maps)
            return [log_probability(model, features[i // 2][None], one[:-1]) for i, one in enumerate(captions)]

    before = scores()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    self_critical_loss(model, model.encode_map(maps), captions, rewards).backward()
    optimizer.step()
    better, worse, least, more = (after - past for after, past in zip(scores(), before, strict=True))
    assert better - worse > 0.01
    assert more - least > 0


def test_equal_rewards_teach_nothing(photos: Photos) -> None:
    model = small_model()
    features = model.encode_map(photos.maps(photos.names[:1]))
    self_critical_loss(model, features, [[7, 8, END], [9, END]], torch.tensor([[0.7, 0.7]])).backward()
    assert all(p.grad is None or p.grad.abs().max() < 1e-6 for p in model.parameters())


def test_the_loss_weighs_log_probabilities_by_advantage_and_leaves_out_the_end_of_what_was_cut_off(
    photos: Photos,
) -> None:
    model = small_model().eval()
    features = model.encode_map(photos.maps(photos.names[:1]))
    captions, rewards = [[7, 8, END], [9, 10]], torch.tensor([[1.0, 0.0]])
    loss = self_critical_loss(model, features, captions, rewards).item()
    rows = Rows.of([[7, 8], [9, 10]], CONFIG.text)
    scores = model.decode(rows.ids, None, features).log_softmax(dim=-1).gather(2, rows.targets.unsqueeze(2)).squeeze(2)
    expected = -(scores[0].sum() - scores[1, :2].sum()) / 5
    assert loss == pytest.approx(expected.item(), rel=1e-4)


def test_samples_follow_the_model(photos: Photos) -> None:
    model = small_model()
    with torch.no_grad():
        model.text_decoder.cls.predictions.bias[:] = -100.0
        model.text_decoder.cls.predictions.bias[[7, END]] = 100.0
    features = model.encode_map(photos.maps(photos.names[:3])).detach()
    torch.manual_seed(0)
    drawn = sample(model, features, 20, 6)
    assert len(drawn) == 60
    assert {token for caption in drawn for token in caption} == {7, END}
    assert all(END not in caption[:-1] for caption in drawn)
    assert all(caption[-1] == END or len(caption) == 6 for caption in drawn)
    assert len({len(caption) for caption in drawn}) > 2


def test_samples_go_on_from_the_prompt(photos: Photos) -> None:
    model, prompt = small_model().eval(), [8, 9, 10]
    features = model.encode_map(photos.maps(photos.names[:1])).detach()
    following = model.decode(torch.tensor([[CONFIG.text.bos_token_id, *prompt]]), None, features)[0, -1]
    torch.manual_seed(0)
    drawn = sample(model, features, 4000, 1, prompt)
    shares = torch.bincount(torch.tensor([one for [one] in drawn]), minlength=len(following)) / len(drawn)
    assert (shares - following.softmax(dim=-1)).abs().max() < 0.03


def test_the_prompt_costs_nothing(photos: Photos) -> None:
    model, prompt = small_model().eval(), [8, 9]
    features = model.encode_map(photos.maps(photos.names[:1]))
    captions, rewards = [[7, 8, END], [9, END]], torch.tensor([[1.0, 0.0]])
    loss = self_critical_loss(model, features, captions, rewards, prompt).item()
    rows = Rows.of([[8, 9, 7, 8], [8, 9, 9]], CONFIG.text)
    scores = model.decode(rows.ids, None, features).log_softmax(dim=-1).gather(2, rows.targets.clamp(0).unsqueeze(2))
    expected = -(scores[0, 2:].sum() - scores[1, 2:4].sum()) / 5
    assert loss == pytest.approx(expected.item(), rel=1e-4)
