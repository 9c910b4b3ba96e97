"""Hard negatives: never right, as likely as they are alike; the whole loss is in test_pretraining."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from seesay.errors import UsageError
from seesay.training.contrastive import Vectors
from seesay.training.matching import draw_negatives

TEMPERATURE = torch.tensor([0.3])


def vectors(images: int, texts: int) -> Vectors:
    torch.manual_seed(0)
    return Vectors(F.normalize(torch.randn(images, 8), dim=1), F.normalize(torch.randn(texts, 8), dim=1))


def test_no_caption_of_the_same_image_is_a_negative() -> None:
    """Three captions an image; the third image is the first again."""
    ids = torch.tensor([7, 8, 7, 9])
    owners = ids.repeat_interleave(3)
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        wrong = draw_negatives(vectors(4, 12), TEMPERATURE, ids, owners, draws)
        assert (ids[wrong.images] != owners).all()
        assert (owners[wrong.texts] != owners).all()  # the text of pair i stands beside pair i's image


def test_what_is_alike_is_drawn_more_often() -> None:
    """As often as the softmax over the others says."""
    ids = torch.arange(4)
    found = vectors(4, 4)
    draws = torch.Generator().manual_seed(0)
    images, texts = torch.zeros(4, 4), torch.zeros(4, 4)
    for _ in range(1500):
        wrong = draw_negatives(found, TEMPERATURE, ids, ids, draws)
        images[ids, wrong.images] += 1
        texts[ids, wrong.texts] += 1
    similarity = (found.text @ found.image.T / TEMPERATURE).masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf)
    assert torch.allclose(images / 1500, similarity.softmax(dim=1), atol=0.04)
    assert torch.allclose(texts / 1500, similarity.T.softmax(dim=1), atol=0.04)


def test_two_images_are_enough() -> None:
    ids = torch.tensor([3, 5])
    wrong = draw_negatives(vectors(2, 2), TEMPERATURE, ids, ids, torch.Generator())
    assert (wrong.images.tolist(), wrong.texts.tolist()) == ([1, 0], [1, 0])


def test_similarities_far_apart_still_leave_a_negative() -> None:
    """Where the right pair has all the weight of a softmax, the others' must not vanish."""
    ids = torch.arange(3)
    found = Vectors(torch.eye(3), torch.eye(3))
    wrong = draw_negatives(found, torch.tensor([0.001]), ids, ids, torch.Generator())
    assert (wrong.images != ids).all()


def test_the_same_image_throughout_is_refused() -> None:
    with pytest.raises(UsageError, match="the same"):
        draw_negatives(vectors(2, 2), TEMPERATURE, torch.tensor([1, 1]), torch.tensor([1, 1]), torch.Generator())
