"""`config.json` and `preprocessor_config.json` of Hugging Face's BLIP folders, to and from `BlipConfig`.

Defaults are those of transformers' BlipConfig, BlipTextConfig and BlipVisionConfig, also where they surprise: a text
configuration that does not say so has 8 attention heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import exp, log
from typing import Any

from seesay.blip.config import BlipConfig, Task, TextConfig, VisionConfig
from seesay.errors import CheckpointError, UsageError

ARCHITECTURES: dict[str, Task] = {
    "BlipForConditionalGeneration": "caption",
    "BlipForImageTextRetrieval": "match",
    "BlipForQuestionAnswering": "answer",
    "BlipForPreTraining": "pretrain",  # ours alone, as the next: transformers has no class for it
    "BlipForEverything": "full",
}
RESCALE = 1 / 255
LOGIT_SCALE = -log(0.07)

Json = Mapping[str, Any]


def config_from_json(config: Json, preprocessor: Json, task: Task | None = None) -> BlipConfig:
    """The configuration that a folder's two files describe.

    The image size is the configuration's: what the positions were trained for. `task` stands in where no known
    architecture is named. Raises CheckpointError for values that make no BLIP, naming them.
    """
    if config.get("model_type", "blip") != "blip":
        raise CheckpointError(f"This is a {config['model_type']!r} model, not a BLIP", "Name a BLIP checkpoint.")
    try:
        vision = _vision(config.get("vision_config") or {})
        return BlipConfig(
            task=_task(config.get("architectures") or [], task),
            vision=vision,
            text=_text(config.get("text_config") or {}, vision.hidden_size),
            projection_dim=config.get("image_text_hidden_size", 256),
            # Its name notwithstanding, the only place that Hugging Face's layout has for it; its own files say 2.6592.
            temperature=round(exp(-config.get("logit_scale_init_value", LOGIT_SCALE)), 5),
            **_normalisation(preprocessor),
        )
    except (UsageError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise CheckpointError(f"config.json makes no BLIP: {error}", getattr(error, "remedy", "")) from error


def config_to_json(config: BlipConfig) -> dict[str, Any]:
    """What stands in `config.json`: transformers' own entries, and ours where a hybrid needs them."""
    architecture = next(name for name, task in ARCHITECTURES.items() if task == config.task)
    vision = asdict(config.vision)
    if config.vision.embedding == "patch":
        for ours in ("embedding", "concept_tokens", "concept_words", "adapted_blocks"):
            del vision[ours]
    text = asdict(config.text)
    # Hugging Face's eos_token_id of BLIP means nothing: generation ends with sep_token_id.
    text["sep_token_id"] = text["eos_token_id"]
    return {
        "architectures": [architecture],
        "model_type": "blip",
        "image_text_hidden_size": config.projection_dim,
        "logit_scale_init_value": -log(config.temperature),
        "vision_config": {"model_type": "blip_vision_model", "hidden_act": "gelu", **vision},
        "text_config": {"model_type": "blip_text_model", "hidden_act": "gelu", "is_decoder": True, **text},
    }


def preprocessor_to_json(config: BlipConfig) -> dict[str, Any]:
    """What stands in `preprocessor_config.json`."""
    return {
        "image_processor_type": "BlipImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": config.vision.image_size, "width": config.vision.image_size},
        "resample": 3,  # bicubic
        "do_rescale": True,
        "rescale_factor": RESCALE,
        "do_normalize": True,
        "image_mean": list(config.image_mean),
        "image_std": list(config.image_std),
    }


def preprocessor_size(preprocessor: Json) -> int | None:
    """Side of the square pictures that the preprocessor makes, or None where it does not say."""
    size = preprocessor.get("size")
    if size is None:
        return None
    sides = [size.get("height"), size.get("width")] if isinstance(size, dict) else [size]
    if len(set(sides)) != 1 or not isinstance(sides[0], int):
        raise CheckpointError(f"preprocessor_config.json asks for pictures of {size}; BLIP's are square")
    return sides[0]


def _task(architectures: list[str], fallback: Task | None) -> Task:
    named = [ARCHITECTURES[name] for name in architectures if name in ARCHITECTURES]
    if not named and not fallback:
        raise UsageError(
            f"it is for {', '.join(architectures) or 'no architecture'}, neither captioning, matching nor answering",
            f"Name a checkpoint of {', '.join(ARCHITECTURES)}.",
        )
    return named[0] if named else fallback or "caption"


def _vision(section: Json) -> VisionConfig:
    _expect_gelu(section)
    hybrid = section.get("embedding", "patch") != "patch"
    return VisionConfig(
        hidden_size=section.get("hidden_size", 768),
        num_hidden_layers=section.get("num_hidden_layers", 12),
        num_attention_heads=section.get("num_attention_heads", 12),
        intermediate_size=section.get("intermediate_size", 3072),
        image_size=_side(section, "image_size", 384),
        patch_size=_side(section, "patch_size", 16),
        layer_norm_eps=_epsilon(section, 1e-5),
        embedding=section.get("embedding", "patch"),
        concept_tokens=section.get("concept_tokens", 0) if hybrid else 0,
        concept_words=tuple(map(str, section.get("concept_words", ()))) if hybrid else (),
        adapted_blocks=section.get("adapted_blocks", 0) if hybrid else 0,
    )


def _text(section: Json, features_width: int) -> TextConfig:
    _expect_gelu(section)
    vocab_size = section.get("vocab_size", 30524)
    return TextConfig(
        vocab_size=vocab_size,
        hidden_size=section.get("hidden_size", 768),
        encoder_hidden_size=features_width,  # transformers overwrites what the file says, too
        num_hidden_layers=section.get("num_hidden_layers", 12),
        num_attention_heads=section.get("num_attention_heads", 8),
        intermediate_size=section.get("intermediate_size", 3072),
        max_position_embeddings=section.get("max_position_embeddings", 512),
        layer_norm_eps=_epsilon(section, 1e-12),
        bos_token_id=section.get("bos_token_id", 30522),
        eos_token_id=section.get("sep_token_id", 102),
        pad_token_id=section.get("pad_token_id", 0),
        # Hugging Face has no entry for [ENC]; it is the last token that BLIP adds to BERT's.
        enc_token_id=section.get("enc_token_id", vocab_size - 1),
    )


def _normalisation(preprocessor: Json) -> dict[str, Any]:
    """`image_mean` and `image_std`, where the preprocessor has them."""
    if not preprocessor.get("do_normalize", True):
        return {"image_mean": (0.0,) * 3, "image_std": (1.0,) * 3}
    if abs(preprocessor.get("rescale_factor", RESCALE) - RESCALE) > 1e-6:
        raise CheckpointError("preprocessor_config.json rescales bytes by something else than 1/255")
    found = {}
    for name in ("image_mean", "image_std"):
        if name in preprocessor:
            found[name] = tuple(float(value) for value in preprocessor[name])
    return found


def _expect_gelu(section: Json) -> None:
    if section.get("hidden_act", "gelu") != "gelu":
        raise UsageError(f"hidden_act is {section['hidden_act']!r}; every BLIP has 'gelu'")


def _side(section: Json, name: str, default: int) -> int:
    value = section.get(name, default)
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    if not isinstance(value, int):
        raise UsageError(f"{name} is {value!r}, not one number of pixels")
    return value


def _epsilon(section: Json, default: float) -> float:
    value = section.get("layer_norm_eps", default)
    if not isinstance(value, float) or not 0 < value < 1:
        raise UsageError(f"layer_norm_eps is {value!r}")
    return value
