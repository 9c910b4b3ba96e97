"""A whole training run, from the data folder to a model that `seesay.load` opens; each stage can be resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from seesay.blip.checkpoint import read_checkpoint, write_checkpoint
from seesay.blip.model import from_checkpoint, to_arrays
from seesay.evaluation import tokenize
from seesay.training.batches import Captions, Photos
from seesay.training.calibrate import calibrate
from seesay.training.captioner import captioner
from seesay.training.concepts import Concepts, read_concepts
from seesay.training.dropout import lock_dropout, set_dropout
from seesay.training.joint import Joint, Sources
from seesay.training.loop import Beside, Setting, Status, Validate, fit
from seesay.training.objectives import language_steps
from seesay.training.prepare import Prepared, prepare, write_atomically
from seesay.training.pretraining import PairObjective
from seesay.training.processes import joined
from seesay.training.recipe import JointStage, Optimisation, Recipe
from seesay.training.self_critical import CiderReward, self_critical_steps
from seesay.training.start import new_model
from seesay.training.validate import Scores, recalled, validate

RESTING = r"text_encoder\..*\.attention\.|vision_proj|text_proj|itm_head|.*\.embeddings\.adapted\."
"""What language modelling has no use for, and the image network's end."""
PEOPLES_QUESTIONS = 4
"""How often a photograph with questions that people asked comes for one whose questions were made of its captions."""
FAMILIAR_OBJECTS = 6
"""How often a photograph of a familiar object comes for one of another."""


def run(recipe: Recipe, data: Path, output: Path, show: Callable[[Status], None] = lambda status: None) -> Path:
    """Train the recipe's model on a data folder (`prepare` says what is in it); the folder of the finished model.

    output: gets the prepared data, a folder for each stage with its log, `model/` with the checkpoint, and
    `scores.json`. What is there already is not done again. Under torchrun all processes call this and share the work.
    """
    with joined() as processes:
        setting = Setting(output, recipe.seed, processes, show)
        concepts = read_concepts(recipe.concepts)
        if processes.first:
            prepare(recipe.data, recipe.model, concepts, data, output / "data")
        processes.agree(0.0)
        prepared = prepare(recipe.data, recipe.model, concepts, data, output / "data")
        stages = _Stages(setting, recipe, prepared, concepts)
        stages.language()
        stages.joint()
        stages.self_critical()
        stages.export()
    return output / "model"


class _Stages:
    """The stages of a run, in their order; each leaves the model with its result."""

    def __init__(self, setting: Setting, recipe: Recipe, prepared: Prepared, concepts: Concepts) -> None:
        self.setting, self.recipe, self.prepared, self.concepts = setting, recipe, prepared, concepts
        self.photos = self._photos(prepared.having("captioned"), recipe.seed)
        self.objects = self._photos(prepared.objects, recipe.seed + 1)
        self.objects.repeat(prepared.familiar, FAMILIAR_OBJECTS)
        tokens = recipe.model.concept_tokens
        self.texts = Captions(prepared.texts, prepared.concepts, concepts.matrix, tokens, recipe.seed)
        torch.manual_seed(recipe.seed)
        pieces = [prepared.tokenizer.encode(word) for word in concepts.words]
        self.model = new_model(recipe.model, prepared.vocabulary, concepts, pieces)
        lock_dropout(self.model)
        self.temperature = self.model.config.temperature

    def _photos(self, names: Iterable[str], seed: int) -> Photos:
        captions = {name: self.prepared.captions.get(name, []) for name in names}
        return Photos(self.prepared.names, captions, self.prepared.folder, seed)

    def _sources(self) -> Sources:
        questions, roles = self.prepared.questions, self.prepared.roles
        known = {name: [[0]] for name in questions if name in roles}  # asked, not captioned
        asked = Photos(self.prepared.names, known, self.prepared.folder, self.recipe.seed + 2)
        asked.repeat(self.prepared.having("asked"), PEOPLES_QUESTIONS)
        return Sources(self.photos, self.objects, self.texts, asked, questions)

    def _joint(self, stage: JointStage, seed: int) -> Joint:
        """What the model learns from besides the reward, with slow towers as it is now."""
        processes, tokenizer = self.setting.processes, self.prepared.tokenizer
        self._wake(True)
        objective = PairObjective(
            self.model,
            self.prepared.vocabulary.index("[CLS]"),
            processes,
            seed=seed,
            ramp=stage.ramp,
            queue=stage.queue,
            momentum=stage.momentum,
            alpha=stage.alpha,
            smoothing=stage.smoothing,
            hide=stage.hide,
            matching_weight=stage.matching_weight,
        )
        objective.contrast.temperature.data.fill_(self.temperature)
        [mark] = tokenizer.encode("?")
        return Joint(self.model, stage, self._sources(), objective, mark, seed, processes.part)

    def language(self) -> None:
        """Language modelling on captioned and labelled photographs and on captions alone; what it has no use for
        rests, the end of the image network too: first what is new learns to read what that makes."""
        stage, part = self.recipe.language, self.setting.processes.part
        self._wake(False)
        plan = stage.optimisation
        steps = language_steps(self.model, stage, self.photos, self.objects, self.texts, self.recipe.seed, part)
        fit(self.setting, "language", self.model, plan, steps, self._validation(plan))

    def joint(self) -> None:
        """The three objectives and questions, the end of the image network trained with the rest."""
        stage, plan = self.recipe.joint, self.recipe.joint.optimisation
        joint = self._joint(stage, self.recipe.seed)
        set_dropout(self.model, stage.dropout)
        contrast, validation = joint.objective.contrast, self._validation(plan)

        def scores() -> Mapping[str, float]:
            found = recalled(self.model, self.photos, self.prepared, plan.validate_images)
            written = validation()
            return {**written, **found, "overall": written["cider"] + sum(found.values())}

        beside = Beside(contrast, joint.objective.follow)
        steps = partial(joint.steps, count=plan.steps)
        fit(self.setting, "joint", self.model, plan, steps, scores, "overall", beside)
        self.temperature = contrast.temperature.item()

    def self_critical(self) -> None:
        """Self-critical training, without dropout: what is rewarded is what the model would say."""
        stage, prepared, tokenizer = self.recipe.self_critical, self.prepared, self.prepared.tokenizer
        joint = self._joint(self.recipe.beside, self.recipe.seed + 1)
        set_dropout(self.model, 0.0)
        references = {name: [tokenize(one) for one in prepared.references[name]] for name in self.photos.names}
        reward = CiderReward.of(references, lambda tokens: tokenize(tokenizer.decode(tokens)))
        part, seed, plan = self.setting.processes.part, self.recipe.seed, stage.optimisation
        steps = self_critical_steps(self.model, stage, self.photos, joint, reward, seed, part)
        contrast = joint.objective.contrast
        beside = Beside(contrast, joint.objective.follow)
        fit(self.setting, "self_critical", self.model, plan, steps, self._validation(plan), beside=beside)
        self.temperature = contrast.temperature.item()

    def export(self) -> None:
        """The checkpoint, its matrices in eight bits, and its scores on every photograph that was held out."""
        output, folder = self.setting.output, self.setting.output / "model"
        if self.setting.processes.first and not (output / "scores.json").exists():
            weights, vocabulary = to_arrays(self.model), self.prepared.vocabulary
            with captioner(self.model, self.photos, self.prepared.folder) as writer:
                calibration = calibrate(writer, (self.photos, self.objects))
            config = replace(self.model.config, temperature=round(self.temperature, 5))
            write_checkpoint(folder, config, weights, vocabulary, compress=True, calibration=calibration)
            self.model = from_checkpoint(read_checkpoint(folder)).eval()  # scored as it is stored, rounded
            scores = asdict(self._scores(None)) | {**recalled(self.model, self.photos, self.prepared)}
            write_atomically(output / "scores.json", json.dumps(scores, indent=2))
        self.setting.processes.agree(0.0)

    def _wake(self, awake: bool) -> None:
        """Train, or do not, what the decoder does without and the end of the image network."""
        for name, parameter in self.model.named_parameters():
            if re.match(RESTING, name):
                parameter.requires_grad_(awake)

    def _validation(self, plan: Optimisation) -> Validate:
        return lambda: asdict(self._scores(plan.validate_images))

    def _scores(self, most: int | None) -> Scores:
        with captioner(self.model, self.photos, self.prepared.folder) as writer:
            return validate(writer, self.prepared, most)
