"""What the matching head says becomes a probability: of a text that is as likely the picture's own as another's.

In training a pair is right once in three, and the wrong ones are the hardest to tell; so the head doubts everything.
Platt scaling (arXiv 1706.04599, section 4.1): the logit is stretched and shifted, two numbers that go into the head's
own weights, fitted to captions of photographs trained on and of others drawn from them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from seesay.blip.model import Blip
from seesay.training.batches import Photos

PHOTOGRAPHS, TOGETHER = 600, 50
APART = (7, 201)
"""How far away the photographs stand whose captions are the foreign ones."""


@torch.no_grad()
def calibrate(model: Blip, photos: Photos) -> tuple[float, float]:
    """Put the scale into the model's matching head; its slope and shift."""
    names = photos.names[:PHOTOGRAPHS]
    odds = np.concatenate([_odds(model, photos, names, start) for start in range(0, len(names), TOGETHER)])
    slope, shift = logistic(odds[:, 0], odds[:, 1:].ravel())
    head = model.itm_head
    head.weight.mul_(slope)
    head.bias.mul_(slope)
    head.bias[1] += shift
    return slope, shift


def _odds(model: Blip, photos: Photos, names: list[str], start: int) -> NDArray[np.float64]:
    """Log-odds of the first caption of some photographs, and of two foreign ones, (photographs, 3)."""
    text, some = model.config.text, range(start, min(start + TOGETHER, len(names)))
    owners = [(i + apart) % len(names) for i in some for apart in (0, *APART)]
    captions = [photos.captions[names[owner]][0] for owner in owners]
    ids = torch.full((len(captions), 2 + max(map(len, captions))), text.pad_token_id)
    for row, caption in enumerate(captions):
        ids[row, : len(caption) + 2] = torch.tensor([text.enc_token_id, *caption, text.eos_token_id])
    lengths = torch.tensor([len(caption) + 2 for caption in captions])
    mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
    logits = model.match(ids, mask, model.encode_map(photos.maps([names[i] for i in some])))
    return (logits[:, 1] - logits[:, 0]).view(-1, 1 + len(APART)).double().numpy()


def logistic(right: NDArray[np.float64], wrong: NDArray[np.float64], steps: int = 50) -> tuple[float, float]:
    """Slope and shift of the log-odds by which both kinds, together equally heavy, are likeliest (Newton's method)."""
    x = np.concatenate([right, wrong])
    y = np.concatenate([np.ones(len(right)), np.zeros(len(wrong))])
    weight = np.where(y == 1, 0.5 / len(right), 0.5 / len(wrong))
    design, found = np.stack([x, np.ones_like(x)], axis=1), np.array([1.0, 0.0])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-(design @ found)))
        gradient = design.T @ (weight * (chance - y)) + 1e-5 * (found - [1, 0])
        hessian = design.T @ (design * (weight * chance * (1 - chance))[:, None]) + 1e-5 * np.eye(2)
        found = found - np.linalg.solve(hessian, gradient)
    return float(found[0]), float(found[1])
