"""A doorway for notebooks that were written for LAVIS: they run unchanged but for their import line.

    from seesay.lavis import load_model_and_preprocess

    model, vis_processors, txt_processors = load_model_and_preprocess("blip_caption", "base_coco", is_eval=True)
    image = vis_processors["eval"](raw_image).unsqueeze(0)
    model.generate({"image": image})

Everything that LAVIS has in `lavis.models` and `lavis.processors` for BLIP and BLIP-2 is imported from here. Behind it
are Seesay's own engines, and tensors live only in this file. Where results differ from LAVIS's, they do so on purpose:
several captions of a beam search are its best ones, not one caption several times; `rank` ranks all answers by their
likelihood (`seesay.asking`); a feature extractor has the weights fine-tuned on COCO (at 384 pixels: 577 tokens and not
197), since the pre-trained ones are on no hub. Losses are not computed here: models are trained with `seesay train`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from seesay.asking import AskOptions
from seesay.blip.checkpoint import read_checkpoint
from seesay.blip.config import BlipConfig
from seesay.decoding import SearchOptions
from seesay.describe import Blip, CaptionOptions, Seen, only
from seesay.engine.base import Encoded, Floats, Ints
from seesay.errors import CapabilityError, MissingExtra, ModelNotFound, UsageError
from seesay.images import to_pixels
from seesay.loading import load
from seesay.models import resolve
from seesay.settings import load_settings
from seesay.texts import Text, TextReader
from seesay.tokenizer import Tokenizer

try:
    import torch
    from torch import Tensor
except ImportError as error:  # what LAVIS hands out are tensors
    raise MissingExtra("The doorway for LAVIS notebooks", "torch") from error

if TYPE_CHECKING:
    from PIL.Image import Image

Samples = Mapping[str, Any]
"""What LAVIS's models are called with: "image", a tensor (images, 3, side, side), "text_input" and "prompt", texts."""
Processor = Callable[[Any], Any]

PROMPT = "a picture of "
"""What LAVIS's captioners open with; it is no part of what they return."""
FINE_TUNED_PROMPT = "a photo of"
"""What the BLIP-2s that were fine-tuned on COCO open with."""
SAMPLED = {"top_k": 50, "repetition_penalty": 1.1}
"""What LAVIS samples with besides what it is told."""


# ------------------------------------------------------------------------------------------------------- processors


class BlipImageEvalProcessor:
    """A picture becomes pixels: (3, side, side), squashed to a square and normalised."""

    def __init__(
        self,
        image_size: int = 384,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        self.image_size = image_size
        self.mean = tuple(mean or BlipConfig().image_mean)
        self.std = tuple(std or BlipConfig().image_std)

    @classmethod
    def build(cls, **changes: Any) -> BlipImageEvalProcessor:
        return cls(**changes)

    def __call__(self, item: Image) -> Tensor:
        return torch.from_numpy(to_pixels(item.convert("RGB"), self.image_size, self.mean, self.std)[0])


class BlipCaptionProcessor:
    """A text as captions were trained on: lower case, without most punctuation, at most `max_words` words."""

    def __init__(self, prompt: str = "", max_words: int = 50) -> None:
        self.prompt, self.max_words = prompt, max_words

    @classmethod
    def build(cls, **changes: Any) -> BlipCaptionProcessor:
        return cls(**changes)

    def __call__(self, caption: str) -> str:
        return self.prompt + self.pre_caption(caption)

    def pre_caption(self, caption: str) -> str:
        bare = re.sub(r"\s{2,}", " ", re.sub(r'[.!"()*#:;~]', " ", caption.lower()))
        return " ".join(bare.rstrip("\n").strip(" ").split(" ")[: self.max_words])


class BlipQuestionProcessor:
    """A question as questions were trained on: as a caption, but what is left out leaves no space."""

    def __init__(self, max_words: int = 50) -> None:
        self.max_words = max_words

    @classmethod
    def build(cls, **changes: Any) -> BlipQuestionProcessor:
        return cls(**changes)

    def __call__(self, question: str) -> str:
        return self.pre_question(question)

    def pre_question(self, question: str) -> str:
        bare = re.sub(r'[.!"()*#:;~]', "", question.lower()).rstrip(" ")
        return " ".join(bare.split(" ")[: self.max_words])


PROCESSORS: dict[str, type[BlipImageEvalProcessor | BlipCaptionProcessor | BlipQuestionProcessor]] = {
    "blip_image_eval": BlipImageEvalProcessor,
    "blip_caption": BlipCaptionProcessor,
    "blip_question": BlipQuestionProcessor,
}


def load_processor(name: str, cfg: Mapping[str, Any] | None = None) -> Processor:
    """One of LAVIS's processors by its name. Raises UsageError."""
    if name not in PROCESSORS:
        raise UsageError(f"No processor {name!r} here", f"There are {', '.join(PROCESSORS)}.")
    return PROCESSORS[name](**(cfg or {}))


class Processors(dict[str, Processor]):
    """LAVIS's processors by what they are for: "eval" alone."""

    def __missing__(self, key: str) -> NoReturn:
        raise UsageError(f"No processor for {key!r} here", "`seesay train` changes pictures while it trains.")


# ----------------------------------------------------------------------------------------------------------- models


class Model:
    """What all models here have in common. They are always in evaluation, and compute without gradients."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def __call__(self, samples: Samples, **given: Any) -> Any:
        return self.forward(samples, **given)

    def forward(self, samples: Samples, **given: Any) -> Any:
        raise CapabilityError(
            f"{type(self).__name__} computes no loss here", "Train with `seesay train`, or `seesay.training`."
        )

    def eval(self) -> Model:
        return self

    def train(self, mode: bool = True) -> Model:
        return self if not mode else self.forward({})  # raises

    def to(self, device: str | torch.device) -> Model:
        if torch.device(device) != self.device:
            raise UsageError(
                f"The model is on {self.device}", f'Load it with load_model_and_preprocess(..., device="{device}").'
            )
        return self


class BlipModel(Model):
    """A BLIP on Seesay's engines."""

    def __init__(self, weights: str, device: str) -> None:
        super().__init__(device)
        found = load(weights) if device == "cpu" else load(weights, engine="torch", device=device)
        if not isinstance(found, Blip):
            raise ModelNotFound(f"{weights} is no BLIP", "Give a checkpoint of BLIP.")
        self.blip = found
        self._reader = TextReader(found.tokenizer, found.checkpoint.config.text)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.blip.tokenizer

    def see(self, samples: Samples) -> list[Seen]:
        """The pictures of the samples, encoded."""
        features = self._features(samples)
        return [Seen(Encoded(features[row : row + 1]), self.blip.name) for row in range(len(features))]

    def _features(self, samples: Samples) -> Floats:
        return self.blip.engine.encode(_pixels(samples)).features

    def _tensor(self, array: Floats) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)


class BlipCaption(BlipModel):
    """LAVIS's `blip_caption`."""

    prompt = PROMPT

    def generate(
        self,
        samples: Samples,
        use_nucleus_sampling: bool = False,
        num_beams: int = 3,
        max_length: int = 30,
        min_length: int = 10,
        top_p: float = 0.9,
        repetition_penalty: float = 1.0,
        num_captions: int = 1,
    ) -> list[str]:
        """`num_captions` captions of each picture, one picture after the other, without the prompt.

        Lengths are in tokens and count the prompt. Samples repeat after `torch.manual_seed`.
        """
        before = 1 + len(self.tokenizer.encode(self.prompt))
        search = _sampled(top_p) if use_nucleus_sampling else _searched(num_beams, num_captions, repetition_penalty)
        options = CaptionOptions(
            prompt=self.prompt.strip(),
            count=num_captions,
            max_new_tokens=max_length - before,
            min_new_tokens=max(0, min_length - before),
            **search,
        )
        found = [only([one]) for one in self.blip.captions(self.see(samples), options)]
        return [self.tokenizer.decode(caption.tokens) for best in found for caption in best.all]


class BlipVQA(BlipModel):
    """LAVIS's `blip_vqa`."""

    def predict_answers(
        self,
        samples: Samples,
        num_beams: int = 3,
        inference_method: str = "rank",
        max_len: int = 10,
        min_len: int = 1,
        num_ans_candidates: int | None = None,
        answer_list: Sequence[str] | None = None,
        prompt: str = "",
        **_: Any,
    ) -> list[str]:
        """The answer to each picture's question: written freely ("generate"), or the likeliest of `answer_list`
        ("rank"), of which all are looked at, whatever `num_ans_candidates`."""
        questions = [prompt.format(text) if prompt else text for text in _texts(samples)]
        if inference_method == "generate":
            options = AskOptions(beams=num_beams, max_new_tokens=max_len - 1, min_new_tokens=max(0, min_len - 1))
        elif inference_method == "rank" and answer_list:
            options = AskOptions(answers=tuple(dict.fromkeys(answer_list)))
        else:
            raise UsageError(
                f"inference_method is {inference_method!r}, answer_list is {answer_list!r}",
                'Give inference_method="generate", or "rank" with an answer_list.',
            )
        return [only([one]).text for one in self.blip.answers(self.see(samples), questions, options)]


class BlipITM(BlipModel):
    """LAVIS's `blip_image_text_matching`."""

    def forward(self, samples: Samples, match_head: str = "itm", **_: Any) -> Tensor:
        """By the head "itm", logits (pairs, 2) of [no match, match]; by "itc", cosines (images, texts)."""
        features = self._features(samples)
        texts = [self._reader.read(text) for text in _texts(samples)]
        engine = self.blip.engine
        if match_head == "itc":
            vectors = engine.embed_text(*self._reader.alone(texts))
            return self._tensor(engine.embed_image(features) @ vectors.T)
        if match_head != "itm":
            raise UsageError(f"match_head is {match_head!r}", 'Give "itm" or "itc".')
        ids, mask = self._reader.beside_pictures(texts)
        if len(texts) % len(features):
            raise UsageError(f"{len(features)} pictures and {len(texts)} texts", "Give one text for each picture.")
        return self._tensor(engine.match(ids, mask, features))


@dataclass(frozen=True, slots=True)
class BlipOutputFeatures:
    """LAVIS's record of features; what was not asked for is None. `_proj` are unit vectors of the shared space."""

    image_embeds: Tensor | None = None
    """(images, tokens, width)"""
    image_embeds_proj: Tensor | None = None
    """(images, tokens, projection)"""
    text_embeds: Tensor | None = None
    """(texts, tokens, width)"""
    text_embeds_proj: Tensor | None = None
    """(texts, tokens, projection)"""
    multimodal_embeds: Tensor | None = None
    """(texts, tokens, width): of texts that were read beside their pictures."""


class BlipFeatureExtractor(Model):
    """LAVIS's `blip_feature_extractor`: features of all tokens, for which the PyTorch model itself stands ready."""

    def __init__(self, weights: str, device: str) -> None:
        from seesay.blip.model import from_checkpoint

        super().__init__(device)
        settings = load_settings(model=weights)
        checkpoint = read_checkpoint(resolve(settings.model, settings).path)
        self.config = checkpoint.config
        self.temp = torch.tensor(self.config.temperature, device=self.device)
        self.tokenizer = Tokenizer(
            checkpoint.vocabulary, bos=self.config.text.bos_token_id, eos=self.config.text.eos_token_id
        )
        self._reader = TextReader(self.tokenizer, self.config.text)
        self._model = from_checkpoint(checkpoint).eval().to(self.device)

    def forward(self, samples: Samples, mode: str = "multimodal", **_: Any) -> BlipOutputFeatures:
        return self.extract_features(samples, mode)

    @torch.no_grad()
    def extract_features(self, samples: Samples, mode: str = "multimodal") -> BlipOutputFeatures:
        """Features of the samples' pictures ("image"), of their texts ("text"), or of texts that were read beside their
        pictures ("multimodal")."""
        model = self._model
        if mode == "image":
            images = model.encode(samples["image"].to(self.device))
            return BlipOutputFeatures(image_embeds=images, image_embeds_proj=_unit(model.vision_proj(images)))
        texts = [self._read(text) for text in _texts(samples)]
        if mode == "text":
            states = model.text_encoder(*self._tensors(self._reader.alone(texts)), causal=False)
            return BlipOutputFeatures(text_embeds=states, text_embeds_proj=_unit(model.text_proj(states)))
        if mode != "multimodal":
            raise UsageError(f"mode is {mode!r}", 'Give "image", "text" or "multimodal".')
        images = model.encode(samples["image"].to(self.device))
        ids, mask = self._tensors(self._reader.beside_pictures(texts))
        return BlipOutputFeatures(multimodal_embeds=model.read(ids, mask, images))

    def _read(self, text: str) -> Text:
        """All of a text: here LAVIS shortens none."""
        return Text(text, tuple(self.tokenizer.encode(text))[: self.config.text.max_position_embeddings - 2])

    def _tensors(self, arrays: tuple[Ints, Ints]) -> tuple[Tensor, Tensor]:
        ids, mask = (torch.from_numpy(array).to(self.device) for array in arrays)
        return ids, mask


class BlipRetrieval(BlipITM):
    """LAVIS's `blip_retrieval`, for looking things up: it matches, as `blip_image_text_matching` does."""


class Blip2(Model):
    """LAVIS's `blip2_opt` and `blip2_t5`, run by transformers."""

    prompt = ""
    length_penalty = 0.0
    """Of answers."""

    def __init__(self, weights: str, device: str) -> None:
        from seesay.backends.transformers import TransformersModel

        super().__init__(device)
        found = load(weights, device=device)
        if not isinstance(found, TransformersModel) or found.runner.model_type != "blip-2":
            raise ModelNotFound(f"{weights} is no BLIP-2", "Give a checkpoint of BLIP-2 in transformers' layout.")
        self.runner = found.runner

    @property
    def pictures(self) -> BlipImageEvalProcessor:
        """What makes its pixels."""
        made = self.runner.processor.image_processor
        return BlipImageEvalProcessor(int(made.size["height"]), made.image_mean, made.image_std)

    def generate(
        self,
        samples: Samples,
        use_nucleus_sampling: bool = False,
        num_beams: int = 5,
        max_length: int = 30,
        min_length: int = 1,
        top_p: float = 0.9,
        repetition_penalty: float = 1.0,
        length_penalty: float = 1.0,
        num_captions: int = 1,
        temperature: float = 1.0,
    ) -> list[str]:
        """`num_captions` texts that go on from the "prompt" of the samples, or from the model's own; lengths are in
        tokens and do not count the prompt."""
        given = samples.get("prompt", self.prompt)
        prompts = [given] * len(samples["image"]) if isinstance(given, str) else list(given)
        search = (
            {"nucleus": True, "top_p": top_p, "temperature": float(temperature), "seed": _seed(), "top_k": 50}
            if use_nucleus_sampling
            else {"beams": max(num_beams, num_captions)}
        )
        options = SearchOptions(
            count=num_captions,
            max_new_tokens=max_length,
            min_new_tokens=max(0, min_length - 1),
            repetition_penalty=float(repetition_penalty),
            length_penalty=float(length_penalty),
            **search,
        )
        return self._written(samples, prompts, options)

    def predict_answers(
        self,
        samples: Samples,
        num_beams: int = 5,
        inference_method: str = "generate",
        max_len: int = 10,
        min_len: int = 1,
        num_ans_candidates: int | None = None,
        answer_list: Sequence[str] | None = None,
        prompt: str = "",
        length_penalty: float | None = None,
        **_: Any,
    ) -> list[str]:
        """The answer to each picture's question, which "prompt" is wrapped around: "Question: {} Answer:"."""
        questions = [prompt.format(text) if prompt else text for text in _texts(samples)]
        penalty = self.length_penalty if length_penalty is None else length_penalty
        options = SearchOptions(
            beams=num_beams,
            max_new_tokens=max_len,
            min_new_tokens=max(0, min_len - 1),
            length_penalty=float(penalty),
        )
        return self._written(samples, questions, options)

    def _written(self, samples: Samples, prompts: Sequence[str], options: SearchOptions) -> list[str]:
        from PIL.Image import new

        from seesay.backends.generation import Sight

        if len(prompts) != len(samples["image"]):
            raise UsageError(f"{len(samples['image'])} pictures and {len(prompts)} texts", "Give one for each picture.")
        blank = new("RGB", (8, 8))  # stands where the processor looks for a picture; its pixels are never seen
        sights = [Sight(blank, pixels) for pixels in samples["image"]]
        return [one.text for group in self.runner.write(sights, prompts, options) for one in group]


class Blip2OPT(Blip2):
    """LAVIS's `blip2_opt`."""


class Blip2T5(Blip2):
    """LAVIS's `blip2_t5`."""

    length_penalty = -1.0


# -------------------------------------------------------------------------------------------------------------- zoo


class ModelZoo(Mapping[str, tuple[str, ...]]):
    """The types of each architecture; printed, a table."""

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return tuple(ZOO[name][1])

    def __iter__(self) -> Iterator[str]:
        return iter(ZOO)

    def __len__(self) -> int:
        return len(ZOO)

    def __repr__(self) -> str:
        line = "=" * 50
        rows = (f"{name:<30} {', '.join(types)}" for name, types in self.items())
        return "\n".join([line, f"{'Architectures':<30} Types", line, *rows])


ZOO: dict[str, tuple[Callable[[str, str], Model], dict[str, str]]] = {
    "blip_caption": (BlipCaption, {"base_coco": "blip-base", "large_coco": "blip-large"}),
    "blip_feature_extractor": (BlipFeatureExtractor, {"base": "blip-itm-base-coco"}),
    "blip_image_text_matching": (BlipITM, {"base": "blip-itm-base-coco", "large": "blip-itm-large-coco"}),
    "blip_retrieval": (BlipRetrieval, {"coco": "blip-itm-base-coco", "flickr": "blip-itm-base-flickr"}),
    "blip_vqa": (BlipVQA, {"vqav2": "blip-vqa-capfilt-large"}),
    "blip2_opt": (
        Blip2OPT,
        {
            "pretrain_opt2.7b": "Salesforce/blip2-opt-2.7b",
            "pretrain_opt6.7b": "Salesforce/blip2-opt-6.7b",
            "caption_coco_opt2.7b": "Salesforce/blip2-opt-2.7b-coco",
            "caption_coco_opt6.7b": "Salesforce/blip2-opt-6.7b-coco",
        },
    ),
    "blip2_t5": (
        Blip2T5,
        {
            "pretrain_flant5xl": "Salesforce/blip2-flan-t5-xl",
            "caption_coco_flant5xl": "Salesforce/blip2-flan-t5-xl-coco",
            "pretrain_flant5xxl": "Salesforce/blip2-flan-t5-xxl",
        },
    ),
}
"""LAVIS's architectures and their types, and whose weights these have: names of `seesay models`, or hub ids."""
model_zoo = ModelZoo()


def load_model(
    name: str,
    model_type: str,
    is_eval: bool = False,
    device: str | torch.device = "cpu",
    checkpoint: str | Path | None = None,
) -> Any:
    """A model of LAVIS's zoo. checkpoint: other weights for it, a folder or one of Salesforce's .pth files.

    Raises ModelNotFound for what is not in `model_zoo`, and what `seesay.load` raises.
    """
    if name not in ZOO:
        close = get_close_matches(name, ZOO, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise ModelNotFound(f"LAVIS's {name!r} is not here", f"{hint}There are {', '.join(ZOO)}.")
    make, types = ZOO[name]
    if model_type not in types:
        raise ModelNotFound(f"{name} has no type {model_type!r} here", f"Its types: {', '.join(types)}.")
    model = make(str(checkpoint or types[model_type]), str(device))
    if isinstance(model, Blip2) and model_type.startswith("caption_coco"):
        model.prompt = FINE_TUNED_PROMPT
    return model


def load_model_and_preprocess(
    name: str, model_type: str, is_eval: bool = False, device: str | torch.device = "cpu"
) -> tuple[Any, Processors, Processors]:
    """A model of LAVIS's zoo with what makes its pixels and its texts: `vis_processors["eval"]`,
    `txt_processors["eval"]`."""
    model = load_model(name, model_type, is_eval, device)
    text = BlipQuestionProcessor() if name == "blip_vqa" else BlipCaptionProcessor()
    return model, Processors(eval=_pictures_for(model)), Processors(eval=text)


def _pictures_for(model: BlipModel | BlipFeatureExtractor | Blip2) -> BlipImageEvalProcessor:
    if isinstance(model, Blip2):
        return model.pictures
    config = model.config if isinstance(model, BlipFeatureExtractor) else model.blip.checkpoint.config
    return BlipImageEvalProcessor(config.vision.image_size, config.image_mean, config.image_std)


# ---------------------------------------------------------------------------------------------------------- details


def _pixels(samples: Samples) -> Floats:
    pixels: Floats = samples["image"].detach().float().cpu().numpy()
    return pixels


def _texts(samples: Samples) -> list[str]:
    given = samples["text_input"]
    return [given] if isinstance(given, str) else list(given)


def _sampled(top_p: float) -> dict[str, Any]:
    return {"nucleus": True, "top_p": top_p, "seed": _seed(), **SAMPLED}


def _seed() -> int:
    """Drawn from torch's generator, so that samples repeat after `torch.manual_seed`."""
    return int(torch.randint(2**31, ()))


def _searched(num_beams: int, num_captions: int, repetition_penalty: float) -> dict[str, Any]:
    return {"beams": max(num_beams, num_captions), "repetition_penalty": repetition_penalty}


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
