"""Open-weight models through transformers, as far as tokens go: pictures and prompts in, texts with their scores out.

One class runs every checkpoint that `AutoModelForImageTextToText` knows; what families differ in is data
(`families.py`). Code that comes with a checkpoint is never run.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from seesay.backends import cleaning
from seesay.decoding import SearchOptions
from seesay.errors import CapabilityError, CheckpointError, MissingExtra, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from seesay.engine.base import Precision

IDLE = SearchOptions()
"""Options as they are when nobody sets them."""
AUTHORS = {
    "repetition_penalty": "repetition_penalty",
    "no_repeat_ngram": "no_repeat_ngram_size",
    "length_penalty": "length_penalty",
    "early_stopping": "early_stopping",
}
"""Options for which the checkpoint's own generation_config.json speaks where nobody sets them."""
TOWERS = ("vision_tower", "visual", "vision_model")
"""What image encoders are called in transformers."""

Message = Mapping[str, Any]
Prompt = str | Sequence[Message]
"""What is asked: a text, or the turns of a conversation for a model with a chat template."""
Ids = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture, and what the image encoder made of it when it was first asked about."""

    image: Image = field(repr=False)
    pixels: Any = field(default=None, repr=False)
    """A tensor (3, side, side) that the image encoder reads in place of what the processor makes of the picture."""
    memory: dict[object, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote."""

    text: str
    tokens: Ids
    """Without the end token."""
    scores: tuple[float, ...]
    """Log-probability of each token, end token included, before anything bent them (temperature, penalties)."""
    ended: bool
    """False where the limit of tokens cut it off."""

    @property
    def score(self) -> float:
        """Mean over the tokens."""
        return sum(self.scores) / len(self.scores) if self.scores else 0.0


class Runner:
    """A checkpoint that is loaded, with its processor."""

    def __init__(
        self, name: str, folder: Path, device: str = "cpu", precision: Precision = "auto", threads: int | None = None
    ) -> None:
        """device: such as "cpu" or "cuda", or "auto", which spreads the model over all there are (accelerate).
        precision: "int8" and "int4" are bitsandbytes'; "auto" is half precision on CUDA, fp32 elsewhere.

        Raises MissingExtra, CheckpointError, CapabilityError for a model that writes nothing about pictures.
        """
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingExtra(f"{name}, which is no BLIP,", "transformers") from error
        self._torch, self._library = torch, transformers
        library: Any = transformers  # half of it is untyped
        if threads is not None:
            torch.set_num_threads(threads)
        self.model_type = _model_type(library, name, folder)
        self.precision = precision if precision != "auto" else _suits(torch, device)
        with _told(name), _quietly(library):
            self.processor = _processor(library, folder)
            self._model = library.AutoModelForImageTextToText.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **self._placed(device)
            ).eval()
        if device != "auto" and self.precision not in ("int8", "int4"):
            self._model.to(device)
        text = self._model.config.get_text_config()
        self._encodes = bool(self._model.config.is_encoder_decoder or text.is_encoder_decoder)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "right" if self._encodes else "left"
        self._ends, self._pad = self._special()
        self._lock = Lock()
        self._memory: dict[object, Any] | None = None
        self._remember()

    @property
    def chats(self) -> bool:
        """Whether it has a chat template."""
        return getattr(self.processor, "chat_template", None) is not None

    @property
    def versions(self) -> dict[str, str]:
        return {"transformers": self._library.__version__, "torch": self._torch.__version__}

    def write(
        self,
        sights: Sequence[Sight],
        prompts: Sequence[Prompt],
        options: SearchOptions,
        never: Sequence[str] = (),
    ) -> list[list[Written]]:
        """`count` texts for each picture with its prompt, best first. never: words that do not appear."""
        if options.nucleus and options.seed is not None and len(sights) > 1:  # samples do not depend on neighbours
            pairs = zip(sights, prompts, strict=True)
            return [found for sight, prompt in pairs for found in self.write([sight], [prompt], options, never)]
        settings = self._settings(options, never)
        with self._lock, self._seeded(options):
            found = self._generate(sights, prompts, generation_config=settings)
        rows = [self._written(*row) for row in found]
        grouped = [rows[start : start + options.count] for start in range(0, len(rows), options.count)]
        return [sorted(group, key=lambda one: -one.score) if options.nucleus else group for group in grouped]

    def rank(self, sight: Sight, prompt: Prompt, answers: Sequence[str]) -> list[Written]:
        """What each answer would have scored as this prompt's, in their order. Raises UsageError for an empty one."""
        wanted = [self._tokens(answer) for answer in answers]
        settings = copy.deepcopy(self._model.generation_config)
        settings.update(**GREEDY, max_new_tokens=max(map(len, wanted)), eos_token_id=None, pad_token_id=self._pad)
        forced = Forced(self._torch, wanted, self._pad)
        with self._lock:
            found = self._generate(
                [sight] * len(wanted), [prompt] * len(wanted), generation_config=settings, logits_processor=[forced]
            )
        return [
            Written(answer, ids[:-1], tuple(scores[: len(ids)]), True)
            for answer, ids, (_, scores) in zip(answers, wanted, found, strict=True)
        ]

    def stream(self, sight: Sight, prompt: Prompt, max_new_tokens: int) -> Generator[str, None, bool]:
        """Pieces of the likeliest text as they come, and in the end whether the limit cut it off. Whoever stops
        listening stops the model."""
        library: Any = self._library
        pieces = library.TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        stop, failed, written = Event(), list[BaseException](), list[Written]()
        settings = self._settings(SearchOptions(beams=1, max_new_tokens=max_new_tokens), ())
        rows = self._torch.ones(1, dtype=self._torch.bool, device=self._model.device)

        def run() -> None:
            try:
                with self._lock:
                    [found] = self._generate(
                        [sight],
                        [prompt],
                        generation_config=settings,
                        streamer=pieces,
                        stopping_criteria=[lambda ids, scores, **_: rows & stop.is_set()],
                    )
                written.append(self._written(*found))
            except BaseException as error:
                failed.append(error)
                pieces.end()

        thread = Thread(target=run, name="seesay-stream", daemon=True)
        thread.start()
        try:
            yield from (piece for piece in pieces if piece)
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]
        return not written[0].ended

    def thinks(self, prompt: Prompt) -> bool:
        """Whether what this prompt becomes has begun the thinking, so that it ends where nothing opened it."""
        return not isinstance(prompt, str) and self._templated(prompt).rstrip().lower().endswith(cleaning.OPENINGS)

    # How it is loaded.

    def _placed(self, device: str) -> dict[str, Any]:
        """Where and how exact the weights are."""
        types = {"fp32": self._torch.float32, "fp16": self._torch.float16, "bf16": self._torch.bfloat16}
        if device == "auto" and not find_spec("accelerate"):
            raise MissingExtra('device="auto"', "quantized")
        placed: dict[str, Any] = {"device_map": "auto"} if device == "auto" else {}
        if self.precision in types:
            return placed | {"dtype": types[self.precision]}
        if not find_spec("bitsandbytes") or not find_spec("accelerate"):
            raise MissingExtra(f"Arithmetic in {self.precision}", "quantized")
        library: Any = self._library
        bits = library.BitsAndBytesConfig(load_in_8bit=self.precision == "int8", load_in_4bit=self.precision == "int4")
        # What is not quantized is in fp16, from and to which bitsandbytes would convert at every step, and say so.
        return {"device_map": device, **placed, "dtype": self._torch.float16, "quantization_config": bits}

    def _special(self) -> tuple[frozenset[int], int]:
        """Tokens that end a text, and the one that fills rows up."""
        parts = [self._model, getattr(self._model, "language_model", None)]
        stated = [part.generation_config for part in parts if getattr(part, "generation_config", None)]
        ends = [one.eos_token_id for one in stated if one.eos_token_id is not None]
        ends.append(self._model.config.get_text_config().eos_token_id)
        end = next((one for one in ends if one is not None), self.tokenizer.eos_token_id)
        ids = frozenset(end if isinstance(end, list) else [end])
        pads = [self.tokenizer.pad_token_id, *(one.pad_token_id for one in stated), min(ids)]
        return ids, next(one for one in pads if one is not None)

    def _remember(self) -> None:
        """From now on the image encoder looks once at a picture that is asked about alone."""
        parts = (self._model, getattr(self._model, "model", None))
        towers = (getattr(part, name, None) for part in parts for name in TOWERS)
        tower: Any = next((one for one in towers if one is not None), None)
        if tower is not None:
            tower.forward = self._remembered(tower.forward)

    def _remembered(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*given: Any, **named: Any) -> Any:
            if self._memory is None:
                return forward(*given, **named)
            values = (*given, *named.values())
            key = tuple(tuple(value.shape) for value in values if isinstance(value, self._torch.Tensor))
            if key not in self._memory:
                self._memory[key] = forward(*given, **named)
            return copy.copy(self._memory[key])  # some models put other things into what they got

        return looked

    # How it is run.

    def _generate(
        self, sights: Sequence[Sight], prompts: Sequence[Prompt], **given: Any
    ) -> list[tuple[list[int], list[float]]]:
        """Tokens of each row, prompt left out, and their log-probabilities; both may go on behind the end."""
        inputs = self._inputs(sights, prompts)
        self._memory = sights[0].memory if all(one is sights[0] for one in sights) else None
        try:
            with self._torch.inference_mode():
                out = self._model.generate(**inputs, **given)
        finally:
            self._memory = None
        new = out.sequences[:, out.sequences.shape[1] - self._steps(out) :]
        return list(zip(new.tolist(), self._scores(out, new), strict=True))

    def _inputs(self, sights: Sequence[Sight], prompts: Sequence[Prompt]) -> Mapping[str, Any]:
        texts = [prompt if isinstance(prompt, str) else self._templated(prompt) for prompt in prompts]
        begun = self.tokenizer.bos_token is not None and texts[0].startswith(self.tokenizer.bos_token)
        images: list[Any] = [[one.image] if self.chats else one.image for one in sights]
        once = {"add_special_tokens": False} if begun else {}  # some templates begin the text themselves
        inputs = self.processor(images=images, text=texts, padding=True, return_tensors="pt", **once)
        inputs.pop("labels", None)  # PaliGemma's, for training
        if sights[0].pixels is not None:
            inputs["pixel_values"] = self._torch.stack([one.pixels for one in sights])
        return inputs.to(self._model.device, self._model.dtype)  # type: ignore[no-any-return]

    def _templated(self, messages: Sequence[Message]) -> str:
        text: str = self.tokenizer.apply_chat_template(
            list(messages), chat_template=self.processor.chat_template, add_generation_prompt=True, tokenize=False
        )
        return text

    def _steps(self, out: Any) -> int:
        """How many tokens were written: beams that were given up leave fewer than there were steps."""
        beams = getattr(out, "beam_indices", None)
        return len(out.logits) if beams is None else int((beams >= 0).sum(dim=1).max())

    def _scores(self, out: Any, new: Any) -> list[list[float]]:
        """For each row the log-probability of each token, by the logits of the beam that it came of."""
        beams = getattr(out, "beam_indices", None)
        columns = []
        for step in range(new.shape[1]):
            logits = out.logits[step].float()
            if beams is not None:
                logits = logits[beams[:, step].clamp(min=0)]
            told = logits.gather(1, new[:, step : step + 1])[:, 0] - logits.logsumexp(dim=1)
            columns.append(told.tolist())
        return [list(row) for row in zip(*columns, strict=True)] or [[] for _ in new]

    def _written(self, tokens: Sequence[int], scores: Sequence[float]) -> Written:
        end = next((at for at, token in enumerate(tokens) if token in self._ends), None)
        said = tuple(tokens[:end])
        text = self.tokenizer.decode(said, skip_special_tokens=True).strip()
        return Written(text, said, tuple(scores[: None if end is None else end + 1]), end is not None)

    def _settings(self, options: SearchOptions, never: Sequence[str]) -> Any:
        """The options in transformers' words, over what the checkpoint's authors say."""
        words = [*map(list, options.forbidden), *(ids for word in never for ids in self._spelled(word))]
        told: dict[str, Any] = {
            **GREEDY,
            "num_beams": options.beams,
            "num_return_sequences": options.count,
            "max_new_tokens": options.max_new_tokens,
            "min_new_tokens": options.min_new_tokens or None,
            "bad_words_ids": words or None,
            "eos_token_id": sorted(self._ends),
            "pad_token_id": self._pad,
        }
        if options.nucleus:
            told |= {"do_sample": True, "num_beams": 1}
            told |= {"top_p": options.top_p, "temperature": options.temperature, "top_k": options.top_k}
        for ours, theirs in AUTHORS.items():
            if getattr(options, ours) != getattr(IDLE, ours):
                told[theirs] = getattr(options, ours)
        settings = copy.deepcopy(self._model.generation_config)
        settings.update(**told)
        return settings

    def _spelled(self, word: str) -> Iterator[list[int]]:
        """A word's tokens, as the first and as a later one."""
        for spelling in dict.fromkeys((word, f" {word}")):
            if ids := self.tokenizer(spelling, add_special_tokens=False).input_ids:
                yield list(ids)

    def _tokens(self, answer: str) -> Ids:
        """An answer's tokens, end token included."""
        ids = self.tokenizer(answer, add_special_tokens=False).input_ids
        if not ids or not answer.strip():
            raise UsageError(f"The answer {answer!r} holds no word", "Give some words.")
        return (*ids, min(self._ends))

    @contextmanager
    def _seeded(self, options: SearchOptions) -> Iterator[None]:
        """Samples by the options' seed; whoever else draws from torch's generators is not disturbed."""
        if options.seed is None:
            yield
            return
        device = self._model.device
        with self._torch.random.fork_rng([device] if device.type == "cuda" else []):
            self._torch.manual_seed(options.seed)
            yield


GREEDY = {
    "do_sample": False,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 50,
    "num_beams": 1,
    "max_length": None,
    "min_length": 0,
    "return_dict_in_generate": True,
    "output_logits": True,
}
"""The likeliest token each time, and no limit but ours."""


class Forced:
    """Makes row r say wanted[r], token by token, and pads behind it."""

    def __init__(self, torch: Any, wanted: Sequence[Ids], pad: int) -> None:
        longest = max(map(len, wanted))
        self._ids = torch.tensor([[*ids, *[pad] * (longest - len(ids))] for ids in wanted])
        self._step = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        ids = self._ids[:, self._step, None].to(scores.device)
        self._step += 1
        return scores.new_full(scores.shape, float("-inf")).scatter(1, ids, 0.0)


def _suits(torch: Any, device: str) -> Precision:
    if device == "cpu" or not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _model_type(library: Any, name: str, folder: Path) -> str:
    """The checkpoint's family, in transformers' words. Raises CapabilityError, CheckpointError."""
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    found = str(stated.get("model_type"))
    known = library.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    if found in known:
        return found
    if "auto_map" in stated:
        raise CheckpointError(
            f"{name} comes with code of its own, which is never run",
            "Use its edition for transformers, such as OpenGVLab/InternVL3-1B-hf for InternVL.",
        )
    raise CapabilityError(
        f"{name} ({found}) writes nothing about pictures",
        "Use a model that does, such as Salesforce/blip2-opt-2.7b or Qwen/Qwen3-VL-4B-Instruct.",
    )


def _processor(library: Any, folder: Path) -> Any:
    with _without_videos():
        return library.AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


@contextmanager
def _without_videos() -> Iterator[None]:
    """Several families' processors want one of videos, which wants torchvision; pictures do without both."""
    if find_spec("torchvision"):
        yield
        return

    from transformers import processing_utils
    from transformers.models.auto.video_processing_auto import AutoVideoProcessor
    from transformers.video_processing_utils import VideoProcessorMixin

    class NoVideos(VideoProcessorMixin):
        model_input_names = []  # noqa: RUF012  # as in transformers

    auto: Any = AutoVideoProcessor
    loads = auto.__dict__["from_pretrained"]
    auto.from_pretrained = classmethod(lambda cls, *given, **named: NoVideos())
    classes: Any = processing_utils.transformers_module  # where processors look for what theirs have to be
    classes.VideoProcessorMixin = VideoProcessorMixin
    try:
        yield
    finally:
        auto.from_pretrained = loads
        del classes.VideoProcessorMixin


@contextmanager
def _quietly(library: Any) -> Iterator[None]:
    """No progress bars of transformers' meanwhile."""
    logging = library.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """transformers' errors as ours."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f"{name}: {_first_line(error)}", "transformers") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{name} cannot be loaded: {_first_line(error)}", "Fetch it again, or use a newer transformers."
        ) from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
