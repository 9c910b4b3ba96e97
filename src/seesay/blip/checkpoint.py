"""Checkpoints on disk: a folder in Hugging Face's layout, or one of Salesforce's own .pth files. Arrays, no torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import blake2b
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seesay.blip import layout
from seesay.blip.calibration import FILE as CALIBRATION
from seesay.blip.calibration import Calibration, read_calibration
from seesay.blip.config import PAIRING, SHARING, WRITING, BlipConfig, Task, TextConfig, VisionConfig
from seesay.blip.huggingface import config_from_json, config_to_json, preprocessor_size, preprocessor_to_json
from seesay.blip.tensors import Floats, Stored, Weights, open_pickled, open_safetensors, packed
from seesay.errors import CheckpointError, UsageError

SAFE, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
POSITIONS = "vision_model.embeddings.position_embedding"
GENERATION = (
    *("max_length", "min_length", "max_new_tokens", "min_new_tokens", "num_beams", "early_stopping"),
    *("do_sample", "top_k", "top_p", "temperature", "length_penalty", "repetition_penalty", "no_repeat_ngram_size"),
)
"""Entries of `generation_config.json` that say how the model's authors meant it to be searched."""
ADDED_TOKENS = ("[DEC]", "[ENC]")
"""What BLIP appends to BERT's vocabulary; Hugging Face's vocabulary files leave it out."""
SAMPLES, SAMPLE_BYTES = 16, 4096


@dataclass(frozen=True)
class Checkpoint:
    """A BLIP on disk: its shape, and weights that are read when they are asked for."""

    config: BlipConfig
    weights: Mapping[str, Floats] = field(repr=False)
    """float32 by name; the names are those of `model.Blip(config).state_dict()`."""
    folder: Path
    key: str
    """Changes when the files do: names what was computed from them in a cache."""
    generation: Mapping[str, float | int | bool] = field(default_factory=dict)
    """How the authors meant it to be searched, in transformers' words (`GENERATION`); often empty."""
    calibration: Calibration | None = field(default=None, repr=False)
    """What its ways to match are worth together; None where the matching head speaks alone, as of all public models."""

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Tokens in the order of their ids. Raises CheckpointError where the folder has none that fits."""
        return _read_vocabulary(self.folder, self.config.text.vocab_size)

    def at_size(self, image_size: int) -> Checkpoint:
        """This model for pictures of another size, its positions interpolated."""
        vision = replace(self.config.vision, image_size=image_size)
        if vision.image_size == self.config.vision.image_size:
            return self
        loads: dict[str, Callable[[], Floats]]
        loads = {name: partial(self.weights.__getitem__, name) for name in self.weights}
        loads[POSITIONS] = lambda: interpolate_positions(self.weights[POSITIONS], vision.grid_side)
        config = replace(self.config, vision=vision)
        return replace(self, config=config, weights=Weights(loads), key=f"{self.key}-{image_size}")


def read_checkpoint(path: str | os.PathLike[str], task: Task | None = None) -> Checkpoint:
    """Open a folder (ours or Hugging Face's) or a .pth file of Salesforce's; the weights stay on disk.

    Strict: every weight of the configuration must be there in its shape, and nothing else but what `layout.HARMLESS`
    names. Where the preprocessor makes pictures of another size than the positions were trained for, the positions are
    interpolated. A pre-training checkpoint can be opened for one `task`, "caption" or "match".
    Raises CheckpointError, and MissingExtra for pickled weights where torch is not installed.
    """
    path = Path(path)
    try:
        return _read_salesforce(path, task) if path.is_file() else _read_folder(path, task)
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or path} cannot be read: {error.strerror}", "Check the path and its permissions."
        ) from error


def write_checkpoint(
    folder: str | os.PathLike[str],
    config: BlipConfig,
    weights: Mapping[str, ArrayLike],
    vocabulary: Sequence[str],
    *,
    compress: bool = False,
    calibration: Calibration | None = None,
) -> None:
    """Write a folder that `read_checkpoint` opens, and transformers' `from_pretrained` where it has such a model.

    With `compress`, matrices are stored as int8 (`tensors.packed`): a quarter of the size, for Seesay only. No reader
    ever sees half a file: a new folder appears whole; in an old one each file is replaced whole, the weights last.
    Raises CheckpointError for weights that do not fit the configuration.
    """
    import shutil  # not needed, and slow to import, where checkpoints are only read
    import tempfile

    from safetensors.numpy import save_file

    _check(config, {name: np.shape(value) for name, value in weights.items()})
    if len(vocabulary) != config.text.vocab_size:
        raise CheckpointError(f"{len(vocabulary)} tokens for a model of {config.text.vocab_size}")
    tensors: dict[str, Any] = {}
    for name in layout.shapes(config).keys() - layout.shared(config).keys():
        tensors |= packed(name, weights[name]) if compress else {name: np.ascontiguousarray(weights[name], np.float32)}

    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        new = Path(beside) / "new"
        new.mkdir()
        _write_json(new / "config.json", config_to_json(config))
        _write_json(new / "preprocessor_config.json", preprocessor_to_json(config))
        _write_json(new / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
        (new / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
        save_file(tensors, new / SAFE, metadata={"format": "pt"})
        if calibration:
            save_file(dict(calibration.arrays()), new / CALIBRATION)
        for file in new.glob("*.safetensors"):
            shutil.copymode(new / "config.json", file)  # safetensors lets nobody else read what it writes
        if not folder.exists():
            new.replace(folder)
            return
        if not calibration:
            (folder / CALIBRATION).unlink(missing_ok=True)  # the old weights'
        for file in sorted(new.iterdir(), key=lambda file: file.name == SAFE):
            file.replace(folder / file.name)


def interpolate_positions(positions: Floats, side: int) -> Floats:
    """Learned positions (1, 1 + old * old, D) for a grid of side x side patches, (1, 1 + side * side, D).

    Bicubic, the class token kept, as `interpolate_pos_embed` of github.com/salesforce/BLIP does with torch's
    F.interpolate(mode="bicubic", align_corners=False).
    """
    old = isqrt(positions.shape[1] - 1)
    if old == side:
        return positions
    rows = _bicubic(old, side)
    grid = positions[0, 1:].reshape(old, old, -1).astype(np.float64)
    grid = np.einsum("ia,jb,abd->ijd", rows, rows, grid, optimize=True)
    resized = np.concatenate([positions[0, :1], grid.reshape(side * side, -1).astype(np.float32)])
    return resized[None]


def _bicubic(old: int, new: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The matrix (new, old) that resamples a line by cubic convolution (Keys 1981, a = -0.75), clamped at its ends."""
    a = -0.75
    places = (np.arange(new) + 0.5) * old / new - 0.5
    matrix = np.zeros((new, old))
    for tap in range(-1, 3):
        index = np.floor(places).astype(int) + tap
        x = np.abs(places - index)
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)
        np.add.at(matrix, (np.arange(new), index.clip(0, old - 1)), np.where(x <= 1, near, far))
    return matrix


# ------------------------------------------------------------------------------------------------------- two kinds


def _read_folder(folder: Path, task: Task | None) -> Checkpoint:
    stored, files = _open_weights(folder)
    preprocessor = _read_json(folder / "preprocessor_config.json", {})
    config = config_from_json(_read_json(folder / "config.json"), preprocessor, layout.task_of(stored))
    for tied, twin in layout.TWINS.items():
        if tied not in stored and twin in stored:  # some converters kept the other name
            stored[tied] = stored[twin]
        elif twin in stored and not _alike(stored[tied], stored[twin]):
            raise CheckpointError(f"{twin} differs from {tied}: BLIP's layout has one weight for both")
    files = [folder / "config.json", folder / "preprocessor_config.json", folder / "vocab.txt", *files]
    config, weights = _fitting(config, stored, task)
    generation = _read_json(folder / "generation_config.json", {})
    checkpoint = Checkpoint(
        config,
        weights,
        folder,
        _content_key(files, config.task),
        {name: generation[name] for name in GENERATION if isinstance(generation.get(name), (int, float))},
        _read_calibration(folder / CALIBRATION, config),
    )
    size = preprocessor_size(preprocessor)
    try:
        return checkpoint if size is None else checkpoint.at_size(size)
    except UsageError as error:
        raise CheckpointError(f"preprocessor_config.json: {error}", error.remedy) from error


def _read_calibration(path: Path, config: BlipConfig) -> Calibration | None:
    if not path.exists() or config.task not in PAIRING & WRITING:
        return None
    return read_calibration(path, config.vision.hidden_size, config.projection_dim)


def _read_salesforce(path: Path, task: Task | None) -> Checkpoint:
    """A .pth file of github.com/salesforce/BLIP: no configuration comes with it, so the shapes tell.

    Its pre-training code shares the word embeddings between encoder and decoder only after the language-modelling head
    was tied to the decoder's, so head and embeddings part ways. As in its `load_checkpoint`, the head's matrix and bias
    win; where they differ from the encoder's, one model cannot be both, and the file is opened as a captioner.
    """
    pickled = open_pickled(path)
    stored = {
        layout.from_salesforce(name): value
        for name, value in pickled.items()
        if not any(re.fullmatch(pattern, name) for pattern in layout.SALESFORCE_HARMLESS)
    }
    for tied, twin in layout.TWINS.items():
        if twin in stored:
            stored[tied] = stored.pop(twin)
    config = _config_from_shapes(path, {name: value.shape for name, value in stored.items()})
    if layout.SALESFORCE_TEMPERATURE in pickled:
        config = replace(config, temperature=round(pickled[layout.SALESFORCE_TEMPERATURE].load().item(), 5))
    words = "embeddings.word_embeddings.weight"
    if config.task == "pretrain" and not _alike(stored[f"text_encoder.{words}"], stored[f"text_decoder.bert.{words}"]):
        task = task or "caption"
    config, weights = _fitting(config, stored, task)
    return Checkpoint(config, weights, path.parent, _content_key([path], config.task))


def _config_from_shapes(path: Path, shapes: layout.Shapes) -> BlipConfig:
    """Sizes from shapes; heads are 64 wide in every BLIP, and epsilons those of the reference code."""
    task = layout.task_of(shapes)
    if task is None:
        raise CheckpointError(f"{path} holds no BLIP: its weights are called {', '.join([*shapes][:3])} ...")
    text = "text_encoder" if "text_encoder.embeddings.word_embeddings.weight" in shapes else "text_decoder.bert"
    try:
        image_width, _, patch_size, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
        vocab_size, text_width = shapes[f"{text}.embeddings.word_embeddings.weight"]
        vision = VisionConfig(
            hidden_size=image_width,
            num_hidden_layers=_count(shapes, "vision_model.encoder.layers."),
            num_attention_heads=image_width // 64,
            intermediate_size=shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0],
            image_size=isqrt(shapes[POSITIONS][1] - 1) * patch_size,
            patch_size=patch_size,
            layer_norm_eps=1e-6,
        )
        config = TextConfig(
            vocab_size=vocab_size,
            hidden_size=text_width,
            encoder_hidden_size=image_width,
            num_hidden_layers=_count(shapes, f"{text}.encoder.layer."),
            num_attention_heads=text_width // 64,
            intermediate_size=shapes[f"{text}.encoder.layer.0.intermediate.dense.weight"][0],
            max_position_embeddings=shapes[f"{text}.embeddings.position_embeddings.weight"][0],
        )
        projection = shapes["vision_proj.weight"][0] if "vision_proj.weight" in shapes else 256
        return BlipConfig(task=task, vision=vision, text=config, projection_dim=projection)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f"{path} makes no BLIP: {error} is missing or out of range") from error


def _count(shapes: layout.Shapes, prefix: str) -> int:
    return len({name[len(prefix) :].partition(".")[0] for name in shapes if name.startswith(prefix)})


# ---------------------------------------------------------------------------------------------------------- checks


def _fitting(config: BlipConfig, stored: Mapping[str, Stored], task: Task | None) -> tuple[BlipConfig, Weights]:
    """All the weights of the configuration, and no others, or CheckpointError; `task` picks a part of pre-training."""
    twins = {name: stored[twin] for name, twin in layout.shared(config).items() if twin in stored}
    whole = {**twins, **stored}
    _check(config, {name: value.shape for name, value in whole.items()})
    if task and task != config.task:
        if config.task not in SHARING or task not in PAIRING | WRITING:
            raise CheckpointError(f"This is a {config.task!r} checkpoint, not one for {task!r}")
        config = replace(config, task=task)
    return config, Weights({name: whole[name].load for name in layout.shapes(config)})


def _check(config: BlipConfig, found: layout.Shapes) -> None:
    wanted = layout.shapes(config)
    wrong = [
        f"{name} {found[name]} for {shape}" for name, shape in wanted.items() if name in found and found[name] != shape
    ]
    complaints = {
        "missing": [name for name in wanted if name not in found],
        "not known": [name for name in found if name not in wanted and not layout.harmless(name)],
        "of another shape": wrong,
    }
    if any(complaints.values()):
        told = "; ".join(f"{_listed(names)} {what}" for what, names in complaints.items() if names)
        raise CheckpointError(
            f"The weights do not fit a {config.task!r} BLIP: {told}",
            "The configuration may belong to another model, or the file may be damaged.",
        )


def _alike(one: Stored, other: Stored) -> bool:
    """Whether two weights have the same values, judged by some of their rows."""
    return one.shape == other.shape and np.array_equal(one.load()[::997], other.load()[::997])


def _listed(names: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more + (" are" if len(names) > 1 else " is")


# ----------------------------------------------------------------------------------------------------------- files


def _open_weights(folder: Path) -> tuple[dict[str, Stored], list[Path]]:
    """The weights of a folder and the files they lie in, safetensors before pickled ones."""
    if (folder / SAFE).exists():
        return open_safetensors(folder / SAFE), [folder / SAFE]
    if (folder / INDEX).exists():
        places = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
            raise CheckpointError(f"{folder / INDEX} has no weight map", "Fetch it again.")
        names = sorted(set(places.values()))
        if strange := [name for name in names if Path(name).name != name]:
            raise CheckpointError(f"{folder / INDEX} points outside its folder: {strange[0]}")
        stored: dict[str, Stored] = {}
        for name in names:
            stored |= open_safetensors(folder / name)
        return stored, [folder / name for name in names]
    if (folder / PICKLED).exists():
        return open_pickled(folder / PICKLED), [folder / PICKLED]
    raise CheckpointError(
        f"{folder} holds no weights: no {SAFE}, {INDEX} or {PICKLED}", "Name the folder of a BLIP checkpoint."
    )


def _read_vocabulary(folder: Path, size: int) -> tuple[str, ...]:
    tokens: list[str] = []
    if (folder / "vocab.txt").exists():
        tokens = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        tokens = [token.rstrip("\r") for token in tokens[: -1 if tokens[-1] == "" else None]]
    elif (folder / "tokenizer.json").exists():
        vocabulary = _read_json(folder / "tokenizer.json").get("model", {}).get("vocab", {})
        tokens = sorted(vocabulary, key=lambda token: int(vocabulary[token]))
    else:
        raise CheckpointError(
            f"{folder} holds no vocabulary", "Put the vocab.txt of bert-base-uncased beside the weights."
        )
    if len(tokens) + len(ADDED_TOKENS) == size:
        tokens += ADDED_TOKENS
    if len(tokens) != size:
        raise CheckpointError(f"The vocabulary in {folder} has {len(tokens)} tokens, the model {size}")
    return tuple(tokens)


def _read_json(path: Path, missing: Any = None) -> dict[str, Any]:
    """The object in a JSON file; `missing`, where given, if there is none."""
    if missing is not None and not path.exists():
        return dict(missing)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}", "Fetch it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object", "Fetch it again.")
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _content_key(files: Sequence[Path], task: Task) -> str:
    """A digest of the task and of the files' sizes, times and samples: milliseconds for gigabytes.

    It notices every file that was written anew; not a change that keeps size and modification time and misses all
    samples.
    """
    digest = blake2b(task.encode(), digest_size=16)
    for path in files:
        if not path.exists():
            continue
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns} ".encode())
            for i in range(SAMPLES):
                file.seek(i * status.st_size // SAMPLES)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()
