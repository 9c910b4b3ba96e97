"""Image-text matching (ITM; paper, section 3.2): does this text belong to this image?

Each pair of an image and its caption is right; beside it stand two that are wrong, the caption with another image and
the image with another caption, drawn by how alike the contrastive vectors are (arXiv 2107.07651, section 3.3). Another
caption of the same image is never wrong. All three kinds are read in one call, and the keys and values of an image are
computed once for all texts that are read beside it.
B images with k captions each, n = B * k pairs, E width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from seesay.blip.model import Blip, KeyValues
from seesay.errors import UsageError
from seesay.training.contrastive import Vectors, full_precision
from seesay.training.packing import Texts, beside


@dataclass(frozen=True, slots=True)
class Negatives:
    """What each of n pairs is confused with."""

    images: Tensor
    """(n,): an image that the text does not belong to."""
    texts: Tensor
    """(n,): a text that does not belong to the image."""


def draw_negatives(
    vectors: Vectors, temperature: Tensor, images: Tensor, owners: Tensor, draws: torch.Generator
) -> Negatives:
    """A wrong image and a wrong text for each pair, likelier the more alike they are.

    vectors: (B, E) and (n, E); images: (B,) the ids of the images, owners: (n,) those of the texts' images, k in a row.
    `draws` decides, so that processes which draw from the same see the same. Raises UsageError where no pair is wrong.
    """
    same = owners.unsqueeze(1) == images  # (n, B)
    if same.all(dim=1).any() or same.all(dim=0).any():
        raise UsageError("All images of a batch are the same", "Train on two different images at least in a batch.")
    with full_precision(vectors.text):
        similarity = vectors.text @ vectors.image.T / temperature
    likely = similarity.masked_fill(same, -torch.inf).cpu()
    each = len(owners) // len(images)
    wrong_images = likely.softmax(dim=1).multinomial(1, generator=draws).flatten()
    wrong_texts = likely.T.softmax(dim=1).multinomial(each, replacement=True, generator=draws).flatten()
    return Negatives(wrong_images.to(images.device), wrong_texts.to(images.device))


def matching_loss(
    model: Blip,
    context: Sequence[KeyValues],
    captions: Sequence[Sequence[int]],
    wrong_images: Sequence[int],
    wrong_texts: Sequence[Sequence[int]],
    images: int,
) -> tuple[Tensor, float]:
    """Mean cross-entropy in nats over right and wrong pairs, and the share of them that the head judges correctly.

    context: of `text_encoder.context`, over the batch's images and further ones. captions: n of the first `images`, k
    each in their order; wrong_images: (n,) an index into the context for each caption; wrong_texts: (n,) one for each
    pair.
    """
    own = [i * images // len(captions) for i in range(len(captions))]
    texts = [*captions, *wrong_texts, *captions]
    read = Texts.of(texts, model.config.text.enc_token_id, model.config.text, [*own, *own, *wrong_images])
    read = read.to(context[0][0].device)
    states = model.text_encoder(
        read.ids, read.seen, causal=False, context=beside(context, read.groups), positions=read.positions
    )
    logits = model.itm_head(read.firsts(states)).float()
    labels = torch.zeros(len(texts), dtype=torch.long, device=logits.device)
    labels[: len(captions)] = 1
    return F.cross_entropy(logits, labels), (logits.argmax(dim=1) == labels).float().mean().item()
