"""A training run as a file: every number that decides its result, read from YAML and checked before anything starts.

Each class is a section of the file, each field an entry; a field left out has the default written here, and a name that
is no field is refused. `recipes/` holds the runs that were published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from seesay.errors import MissingExtra, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """What is made of the data folder before training."""

    views: int = 6
    """Feature maps kept of each photograph: as it is, mirrored, and crops with changed colours (`maps.view`)."""
    least_count: int = 3
    """Word pieces that captions use more rarely than this leave the vocabulary."""
    longest_caption: int = 18
    """Tokens; a longer caption is left out unless its photograph has no other."""
    shortest_text: int = 4
    """Words; a shorter caption without a photograph is left out."""

    def __post_init__(self) -> None:
        positive(self, "views", "least_count", "longest_caption", "shortest_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecipe:
    """The shape of the model, as far as the two towers that it starts from leave it open."""

    image_layers: int = 2
    text_layers: int = 6
    concept_tokens: int = 6
    positions: int = 64
    """Longest text in tokens."""
    dropout: float = 0.1
    adapted_blocks: int = 5
    """Last blocks of the image network that a second copy of is trained with the rest (`VisionConfig`)."""

    def __post_init__(self) -> None:
        positive(self, "image_layers", "text_layers", "concept_tokens", "positions")
        share(self, "dropout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimisation:
    """AdamW under a schedule: the learning rate rises for `warm_up` steps and falls from the first step to the last."""

    steps: int
    learning_rate: float
    warm_up: int
    decay: Literal["cosine", "linear"] = "cosine"
    floor: float = 0.03
    """What is left of the learning rate at the end."""
    pretrained: float = 0.6
    """Factor on the learning rate of what a tower brought along, and of embeddings, biases and LayerNorms."""
    adapted: float = 0.3
    """Factor on that of the image network's adapted blocks."""
    weight_decay: float = 0.05
    """Not on embeddings, biases and LayerNorms."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    averaging: float = 0.998
    """Weights are averaged over the steps, each step's share shrinking by this factor a step."""
    validate_first: bool = False
    """Score the weights that the stage begins with, and keep them unless others are better."""
    validate_every: int = 300
    validate_images: int = 300
    """Photographs for each of the two scores, CIDEr and object naming; the result is scored on all."""
    patience: int = 3
    """Validations in a row without a better CIDEr after which the stage ends."""
    save_every: int = 150
    log_every: int = 25
    accumulate: int = 1
    """Parts that a batch is taken in, one after another, where it does not fit the memory."""
    layer_decay: float = 1.0
    """Factor on the learning rate from each layer to the one below it (arXiv 2003.10555), in both towers."""
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Arithmetic of the forward pass; weights and moments are float32. fp16 scales the loss."""

    def __post_init__(self) -> None:
        positive(self, "steps", "learning_rate", "clip", "patience", "save_every", "log_every")
        positive(self, "validate_every", "validate_images", "accumulate", "layer_decay")
        share(self, "floor", "pretrained", "adapted", "averaging", "weight_decay", "layer_decay")
        if self.warm_up < 0:
            raise UsageError(f"warm_up is {self.warm_up}", "Give a number of steps, 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """What the steps of a part of the stage are taken on: these shares on photographs, the rest on captions alone."""

    until: int
    """The step that this part ends with."""
    photos: float
    objects: float = 0.0

    def __post_init__(self) -> None:
        positive(self, "until")
        share(self, "photos", "objects")
        if self.photos + self.objects > 1:
            raise UsageError(f"photos and objects have {self.photos + self.objects} of the steps", "Give 1 at most.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageStage:
    """Language modelling on three sources: captioned photographs; photographs with a label, whose captions are composed
    (COCO's among them, with their own); captions without photographs, with an imagined classifier's answer."""

    optimisation: Optimisation
    mixture: tuple[Mixture, ...]
    images: int = 32
    """Photographs in a batch of either kind."""
    captions_per_photo: int = 5
    captions_per_object: int = 3
    texts: int = 192
    """Captions in a batch without photographs."""
    smoothing: float = 0.1
    hide: float = 0.12
    """Probability that a photograph's patches are hidden from the decoder, and as often its concepts."""

    def __post_init__(self) -> None:
        positive(self, "images", "captions_per_photo", "captions_per_object", "texts")
        share(self, "smoothing", "hide")
        ends = [part.until for part in self.mixture]
        if ends != sorted(set(ends)) or ends[-1:] != [self.optimisation.steps]:
            raise UsageError(f"mixture ends at {ends}", "Let its parts follow one another up to the last step.")


@dataclass(frozen=True, slots=True, kw_only=True)
class JointStage:
    """The paper's three objectives on captioned photographs, the end of the image network trained with the rest; among
    them steps of language modelling on the other sources and of answering questions, so that one model does it all."""

    optimisation: Optimisation
    images: int = 32
    """Photographs in a batch of any kind."""
    captions: int = 3
    """Of each photograph, for contrast and language modelling ..."""
    matched: int = 1
    """... of which so many are matched, each with two wrong pairs beside it."""
    objects_share: float = 0.12
    """Part of the steps with language modelling on labelled photographs ..."""
    texts_share: float = 0.1
    """... on captions alone ..."""
    questions_share: float = 0.15
    """... and with questions. The rest are the three objectives'."""
    captions_per_object: int = 3
    texts: int = 144
    questions: int = 3
    """Asked of a photograph."""
    queue: int = 4096
    momentum: float = 0.995
    alpha: float = 0.4
    matching_weight: float = 1.0
    """Of the loss of matching (`PairObjective`)."""
    ramp: int = 200
    """Steps over which alpha rises."""
    smoothing: float = 0.1
    hide: float = 0.12
    dropout: float = 0.1

    def __post_init__(self) -> None:
        positive(
            self,
            "images",
            "captions",
            "matched",
            "captions_per_object",
            "texts",
            "questions",
            "queue",
            "ramp",
            "matching_weight",
        )
        share(
            self, "objects_share", "texts_share", "questions_share", "momentum", "alpha", "smoothing", "hide", "dropout"
        )
        if self.objects_share + self.texts_share + self.questions_share >= 1:
            raise UsageError("objects, texts and questions have all steps", "Leave some to the three objectives.")
        if self.matched > self.captions:
            raise UsageError(f"{self.matched} of {self.captions} captions matched", "Give as many at most.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCriticalStage:
    """Self-critical training on CIDEr; steps of the joint stage beside it keep what the reward does not see."""

    optimisation: Optimisation
    images: int = 32
    samples: int = 5
    longest: int = 18
    """Tokens of a sample, its end included."""
    beside_share: float = 0.6
    """Part of the steps with one of the joint stage's beside the reward ..."""
    beside_weight: float = 0.3
    """... and the weight of its loss."""
    objects_share: float = 0.4
    """Part of those steps that is taken on objects: captions that are rewarded say what people do and dogs, never what
    a cup on a table does."""

    def __post_init__(self) -> None:
        positive(self, "images", "longest")
        share(self, "beside_share", "beside_weight", "objects_share")
        if self.samples < 2:
            raise UsageError(f"samples is {self.samples}", "Give 2 or more: each is compared with the others.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole run."""

    name: str
    """What the model is called."""
    concepts: Path
    """The table of concept words (`concepts.read_concepts`); relative to the recipe's folder."""
    language: LanguageStage
    joint: JointStage
    self_critical: SelfCriticalStage
    data: DataRecipe = field(default_factory=DataRecipe)
    model: ModelRecipe = field(default_factory=ModelRecipe)
    seed: int = 0

    def __post_init__(self) -> None:
        _ = self.beside  # shares that leave nothing for the rest are refused before hours of training, not after

    @property
    def beside(self) -> JointStage:
        """What the steps beside the reward are: the joint stage's, smaller, with more of them on objects."""
        stage = self.self_critical
        return replace(self.joint, images=stage.images // 2, ramp=1, objects_share=stage.objects_share)


def read_recipe(path: Path) -> Recipe:
    """The run that a YAML file describes. Raises UsageError, which names the entry that cannot be used and its file."""
    recipe: Recipe = section(Recipe, read_yaml(path), path)
    return recipe


def read_yaml(path: Path) -> object:
    """What a YAML file holds. Raises UsageError where it cannot be read."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("Reading a recipe", "train") from error
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "Name one of recipes/.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {error}", "See recipes/ for how a recipe looks.") from error
    return content


def section(kind: type[Any], content: object, path: Path, place: str = "") -> Any:
    """A dataclass from a mapping whose entries are its fields, all the way down. Raises UsageError."""
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: {place or 'a recipe'} holds {content!r}", "Give a mapping of names to values.")
    hints, dot = get_type_hints(kind), f"{place}." if place else ""
    if unknown := [f"{dot}{name}" for name in content if name not in hints]:
        known = ", ".join(hints)
        raise UsageError(f"{path}: nothing is called {', '.join(unknown)}", f"There are: {known}.")
    needed = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    if missing := [f"{dot}{name}" for name in needed if name not in content]:
        raise UsageError(f"{path}: {', '.join(missing)} not given", "These have no default.")
    values = {name: _value(hints[name], value, path, f"{dot}{name}") for name, value in content.items()}
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{path}: {dot}{error}", error.remedy) from error


def _value(kind: Any, value: object, path: Path, place: str) -> object:
    """One entry as its field wants it."""
    if get_origin(kind) in (Union, UnionType):  # an entry that may be left out, or be null
        [kind] = [one for one in get_args(kind) if one is not NoneType]
        if value is None:
            return None
    if is_dataclass(kind):
        return section(kind, value, path, place)  # type: ignore[arg-type]  # a class, not an instance of one
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UsageError(f"{path}: {place} is {value!r}", f"Give one of: {', '.join(get_args(kind))}.")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not value:
            raise UsageError(f"{path}: {place} is {value!r}", "Give a list.")
        [each, _] = get_args(kind)
        return tuple(_value(each, one, path, f"{place}[{i}]") for i, one in enumerate(value))
    if kind is Path and isinstance(value, str):
        return path.parent / value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{path}: {place} is {value!r}", f"Give a value of type {kind.__name__}.")
    return value


def positive(part: object, *names: str) -> None:
    """Raise UsageError unless these fields of a section are above 0."""
    for name in names:
        if not getattr(part, name) > 0:
            raise UsageError(f"{name} is {getattr(part, name)}", "Give a number above 0.")


def share(part: object, *names: str) -> None:
    """Raise UsageError unless these fields of a section lie between 0 and 1."""
    for name in names:
        if not 0 <= getattr(part, name) <= 1:
            raise UsageError(f"{name} is {getattr(part, name)}", "Give a number between 0 and 1.")
