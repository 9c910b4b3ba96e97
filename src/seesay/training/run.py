"""A whole training run, from the data folder to a model that `seesay.load` opens; each stage can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch

from seesay.blip.checkpoint import read_checkpoint, write_checkpoint
from seesay.blip.model import from_checkpoint, to_arrays
from seesay.evaluation import tokenize
from seesay.training.batches import Captions, Photos
from seesay.training.captioner import captioner
from seesay.training.concepts import Concepts, read_concepts
from seesay.training.dropout import lock_dropout, set_dropout
from seesay.training.loop import Setting, Status, Validate, fit
from seesay.training.objectives import language_steps
from seesay.training.prepare import Prepared, prepare, write_atomically
from seesay.training.processes import joined
from seesay.training.recipe import Optimisation, Recipe
from seesay.training.self_critical import CiderReward, self_critical_steps
from seesay.training.start import new_model
from seesay.training.validate import Scores, validate


def run(recipe: Recipe, data: Path, output: Path, show: Callable[[Status], None] = lambda status: None) -> Path:
    """Train the recipe's model on a data folder (`prepare` says what is in it); the folder of the finished model.

    output: gets the prepared data, a folder for each stage with its log, `model/` with the checkpoint, and
    `scores.json`. What is there already is not done again. Under torchrun all processes call this and share the work.
    """
    # AdamW's moments of embeddings that are not used sink to denormal numbers, which a CPU adds ten times slower.
    torch.set_flush_denormal(True)
    with joined() as processes:
        setting = Setting(output, recipe.seed, processes, show)
        concepts = read_concepts(recipe.concepts)
        if processes.first:
            prepare(recipe.data, concepts, data, output / "data")
        processes.agree(0.0)
        stages = _Stages(setting, recipe, prepare(recipe.data, concepts, data, output / "data"), concepts)
        stages.language()
        stages.self_critical()
        stages.export()
    return output / "model"


class _Stages:
    """The stages of a run, in their order; each leaves the model with its result."""

    def __init__(self, setting: Setting, recipe: Recipe, prepared: Prepared, concepts: Concepts) -> None:
        self.setting, self.recipe, self.prepared, self.concepts = setting, recipe, prepared, concepts
        self.photos = self._photos(prepared.having("captioned"), recipe.seed)
        self.objects = self._photos(prepared.objects, recipe.seed + 1)
        tokens = recipe.model.concept_tokens
        self.texts = Captions(prepared.texts, prepared.concepts, concepts.matrix, tokens, recipe.seed)
        torch.manual_seed(recipe.seed)
        pieces = [prepared.tokenizer.encode(word) for word in concepts.words]
        self.model = new_model(recipe.model, prepared.vocabulary, concepts, pieces)
        lock_dropout(self.model)

    def _photos(self, names: Iterable[str], seed: int) -> Photos:
        captions = {name: self.prepared.captions.get(name, []) for name in names}
        return Photos(self.prepared.names, captions, self.prepared.folder, seed)

    def language(self) -> None:
        """Language modelling on captioned and labelled photographs and on captions alone."""
        stage, part = self.recipe.language, self.setting.processes.part
        plan = stage.optimisation
        steps = language_steps(self.model, stage, self.photos, self.objects, self.texts, self.recipe.seed, part)
        fit(self.setting, "language", self.model, plan, steps, self._validation(plan))

    def self_critical(self) -> None:
        """Self-critical training, without dropout: what is rewarded is what the model would say."""
        stage, prepared, tokenizer = self.recipe.self_critical, self.prepared, self.prepared.tokenizer
        set_dropout(self.model, 0.0)
        references = {name: [tokenize(one) for one in prepared.references[name]] for name in self.photos.names}
        reward = CiderReward.of(references, lambda tokens: tokenize(tokenizer.decode(tokens)))
        part, seed, plan = self.setting.processes.part, self.recipe.seed, stage.optimisation
        steps = self_critical_steps(self.model, stage, self.photos, self.objects, self.texts, reward, seed, part)
        fit(self.setting, "self_critical", self.model, plan, steps, self._validation(plan))

    def export(self) -> None:
        """The checkpoint, its matrices in eight bits, and its scores on every photograph that was held out."""
        output, folder = self.setting.output, self.setting.output / "model"
        if self.setting.processes.first and not (output / "scores.json").exists():
            weights = to_arrays(self.model)
            write_checkpoint(folder, self.model.config, weights, self.prepared.vocabulary, compress=True)
            self.model = from_checkpoint(read_checkpoint(folder)).eval()  # scored as it is stored, rounded
            write_atomically(output / "scores.json", json.dumps(asdict(self._scores(None)), indent=2))
        self.setting.processes.agree(0.0)

    def _validation(self, plan: Optimisation) -> Validate:
        return lambda: asdict(self._scores(plan.validate_images))

    def _scores(self, most: int | None) -> Scores:
        with captioner(self.model, self.photos, self.prepared.folder) as writer:
            return validate(writer, self.prepared, most)
