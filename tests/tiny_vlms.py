"""Small vision-language models of transformers' own classes with random weights, in folders of the public layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

IMAGE = "<image>"
SPECIAL = ["<pad>", "<s>", "</s>", IMAGE]
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SQUARE = {"image_size": 16, "patch_size": 8}
CHAT = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""A chat template as LLaVA's folders have one; IMAGE stands for the family's own mark of a picture."""

Make = Callable[[], tuple[tf.PreTrainedModel, "Files"]]
Files = dict[str, Any]
"""What stands in a folder beside the weights, by file name; "tokenizer" is the tokenizer."""


def tokenizer(*marks: str, **named: str) -> tf.PreTrainedTokenizerFast:
    """Bytes are its tokens. marks: further special tokens; named: those that a processor looks up by an attribute."""
    special = list(dict.fromkeys([*SPECIAL, *marks, *named.values()]))
    letters = {letter: len(special) + at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary = {token: at for at, token in enumerate(special)} | letters
    bytes_alone = Tokenizer(models.BPE(vocabulary, []))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    bytes_alone.add_special_tokens(special)
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=bytes_alone,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<pad>",
        extra_special_tokens=named or None,
    )


def ids(made: tf.PreTrainedTokenizerFast) -> dict[str, int]:
    return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": len(made)}


def picture(kind: str, **own: Any) -> Files:
    """A preprocessor_config.json: squares of 16 pixels."""
    return {
        "image_processor_type": kind,
        "do_resize": True,
        "size": {"height": 16, "width": 16},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "do_convert_rgb": True,
        "resample": 3,
        **own,
    }


def llama(made: tf.PreTrainedTokenizerFast) -> Mapping[str, Any]:
    return {"model_type": "llama", **TOWER, **ids(made), "max_position_embeddings": 512}


def opt(made: tf.PreTrainedTokenizerFast) -> Mapping[str, Any]:
    small = {"hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {"model_type": "opt", **small, "word_embed_proj_dim": 16, "max_position_embeddings": 512, **ids(made)}


def t5(made: tf.PreTrainedTokenizerFast) -> Mapping[str, Any]:
    small = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2}
    return {"model_type": "t5", **small, "decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu", **ids(made)}


def blip_2(text: Callable[[tf.PreTrainedTokenizerFast], Mapping[str, Any]], instruct: bool = False) -> Make:
    def make() -> tuple[tf.PreTrainedModel, Files]:
        made = tokenizer()
        former = {**TOWER, "cross_attention_frequency": 1, "encoder_hidden_size": 16}
        former |= {"vocab_size": len(made), "max_position_embeddings": 512} if instruct else {}
        # the image side starts at a deviation of 1e-10: every picture would look alike
        vision = {**TOWER, **SQUARE, "initializer_range": 0.2}
        kind = tf.InstructBlipConfig if instruct else tf.Blip2Config
        config = kind(
            vision_config=vision,
            qformer_config=former,
            text_config=dict(text(made)),
            num_query_tokens=4,
            image_token_index=made.convert_tokens_to_ids(IMAGE),
        )
        model = (tf.InstructBlipForConditionalGeneration if instruct else tf.Blip2ForConditionalGeneration)(config)
        name = "InstructBlipProcessor" if instruct else "Blip2Processor"
        files = {
            "preprocessor_config.json": picture("BlipImageProcessor"),
            "processor_config.json": {"processor_class": name, "num_query_tokens": 4},
            "tokenizer": made,
        }
        return model, files | ({"qformer_tokenizer": made} if instruct else {})

    return make


def llava(following: bool) -> Make:
    def make() -> tuple[tf.PreTrainedModel, Files]:
        made = tokenizer()
        shape = {
            "vision_config": {"model_type": "clip_vision_model", **TOWER, **SQUARE, "projection_dim": 16},
            "text_config": dict(llama(made)),
            "image_token_index": made.convert_tokens_to_ids(IMAGE),
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
        }
        pixels: dict[str, Any] = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
        model: tf.PreTrainedModel
        if following:
            grid = [[16, 32], [32, 16], [32, 32]]
            model = tf.LlavaNextForConditionalGeneration(tf.LlavaNextConfig(**shape, image_grid_pinpoints=grid))
            pixels |= {"image_grid_pinpoints": grid, "do_pad": True, "do_center_crop": True}
        else:
            model = tf.LlavaForConditionalGeneration(tf.LlavaConfig(**shape))
            pixels |= {"do_center_crop": True}
        own = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
        return model, {
            "preprocessor_config.json": picture("LlavaNextImageProcessor" if following else "CLIPImageProcessor")
            | pixels,
            "processor_config.json": {
                "processor_class": "LlavaNextProcessor" if following else "LlavaProcessor",
                **own,
            },
            "chat_template.jinja": CHAT.replace("IMAGE", IMAGE),
            "tokenizer": made,
        }

    return make


def qwen(generation: str) -> Make:
    def make() -> tuple[tf.PreTrainedModel, Files]:
        marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
        made = tokenizer(*marks)
        start, end, image, video = made.convert_tokens_to_ids(list(marks))
        rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
        text = {**TOWER, "num_key_value_heads": 2, "head_dim": 8, "rope_parameters": rope, **ids(made)}
        patch = {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
        vision: dict[str, Any] = {"depth": 2, "num_heads": 2, **patch}
        if generation == "qwen2_vl":
            vision |= {"embed_dim": 16, "hidden_size": 16, "mlp_ratio": 1}
            text.pop("head_dim")
        elif generation == "qwen2_5_vl":
            vision |= {"hidden_size": 16, "intermediate_size": 16, "out_hidden_size": 16, "window_size": 16}
            vision |= {"fullatt_block_indexes": [1]}
            text.pop("head_dim")
        else:
            vision |= {"hidden_size": 16, "intermediate_size": 16, "out_hidden_size": 16}
            vision |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
        config = tf.AutoConfig.for_model(
            generation,
            vision_config=vision,
            text_config=text,
            image_token_id=image,
            video_token_id=video,
            vision_start_token_id=start,
            vision_end_token_id=end,
        )
        mark = "<|vision_start|><|image_pad|><|vision_end|>"
        name = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}[generation]
        pixels = picture("Qwen2VLImageProcessor", patch_size=4, merge_size=2, temporal_patch_size=2)
        pixels |= {"size": {"shortest_edge": 64, "longest_edge": 256}}
        return tf.AutoModelForImageTextToText.from_config(config), {
            "preprocessor_config.json": pixels,
            "video_preprocessor_config.json": {"video_processor_type": f"{name.replace('2_5_', '2')}VideoProcessor"},
            "processor_config.json": {"processor_class": f"{name}Processor"},
            "chat_template.jinja": CHAT.replace("IMAGE", mark),
            "tokenizer": made,
        }

    return make


def internvl() -> tuple[tf.PreTrainedModel, Files]:
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    made = tokenizer(**named, video_token="<video>")
    config = tf.InternVLConfig(
        vision_config={**TOWER, **SQUARE},
        text_config={"model_type": "qwen2", **TOWER, "num_key_value_heads": 2, **ids(made)},
        image_token_id=made.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=1,
        downsample_ratio=0.5,
    )
    pixels = picture("GotOcr2ImageProcessor", crop_to_patches=True, min_patches=1, max_patches=2)
    return tf.InternVLForConditionalGeneration(config), {
        "preprocessor_config.json": pixels,
        "video_preprocessor_config.json": {"video_processor_type": "InternVLVideoProcessor"},
        "processor_config.json": {"processor_class": "InternVLProcessor", "image_seq_length": 1},
        "chat_template.jinja": CHAT.replace("IMAGE", "<IMG_CONTEXT>"),
        "tokenizer": made,
    }


def smolvlm() -> tuple[tf.PreTrainedModel, Files]:
    made = tokenizer("<fake_token_around_image>", "<end_of_utterance>", "<global-img>", "<row_1_col_1>")
    config = tf.SmolVLMConfig(
        vision_config={**TOWER, **SQUARE},
        text_config=dict(llama(made)),
        image_token_id=made.convert_tokens_to_ids(IMAGE),
        scale_factor=2,
    )
    pixels = picture("SmolVLMImageProcessor", size={"longest_edge": 16}, max_image_size={"longest_edge": 16})
    return tf.SmolVLMForConditionalGeneration(config), {
        "preprocessor_config.json": pixels | {"do_image_splitting": False, "do_pad": True},
        "video_preprocessor_config.json": {"video_processor_type": "SmolVLMVideoProcessor"},
        "processor_config.json": {"processor_class": "SmolVLMProcessor", "image_seq_len": 1},
        "chat_template.jinja": CHAT.replace("IMAGE", IMAGE),
        "tokenizer": made,
    }


def paligemma() -> tuple[tf.PreTrainedModel, Files]:
    made = tokenizer(*(f"<loc{at:04d}>" for at in range(1024)), *(f"<seg{at:03d}>" for at in range(128)))
    config = tf.PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **TOWER, **SQUARE, "vision_use_head": False},
        text_config={"model_type": "gemma", **TOWER, "num_key_value_heads": 1, "head_dim": 8, **ids(made)},
        image_token_index=made.convert_tokens_to_ids(IMAGE),
        projection_dim=16,
        hidden_size=16,
    )
    return tf.PaliGemmaForConditionalGeneration(config), {
        "preprocessor_config.json": picture("SiglipImageProcessor", image_seq_length=4),
        "processor_config.json": {"processor_class": "PaliGemmaProcessor"},
        "tokenizer": made,
    }


def florence2() -> tuple[tf.PreTrainedModel, Files]:
    made = tokenizer(image_token=IMAGE)
    stages = {"depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1]}
    stages |= {"patch_prenorm": [False, True], "embed_dim": [8, 16], "num_heads": [2, 2], "num_groups": [2, 2]}
    bart = {"model_type": "bart", "d_model": 16, "encoder_layers": 1, "decoder_layers": 1}
    bart |= {f"{side}_{what}": size for side in ("encoder", "decoder") for what, size in HEADS.items()}
    config = tf.Florence2Config(
        vision_config={**stages, "window_size": 4, "projection_dim": 16},
        text_config={**bart, "max_position_embeddings": 256, "decoder_start_token_id": 2, **ids(made)},
        image_token_id=made.convert_tokens_to_ids(IMAGE),
    )
    pixels = picture("CLIPImageProcessor", size={"height": 32, "width": 32}, image_seq_length=17, do_center_crop=False)
    return tf.Florence2ForConditionalGeneration(config), {
        "preprocessor_config.json": pixels,
        "processor_config.json": {"processor_class": "Florence2Processor"},
        "tokenizer": made,
    }


HEADS = {"attention_heads": 2, "ffn_dim": 16}

FAMILIES: dict[str, Make] = {
    "blip2-opt": blip_2(opt),
    "blip2-t5": blip_2(t5),
    "instructblip-vicuna": blip_2(llama, instruct=True),
    "instructblip-t5": blip_2(t5, instruct=True),
    "llava-1.5": llava(following=False),
    "llava-1.6": llava(following=True),
    "qwen2-vl": qwen("qwen2_vl"),
    "qwen2.5-vl": qwen("qwen2_5_vl"),
    "qwen3-vl": qwen("qwen3_vl"),
    "internvl": internvl,
    "smolvlm": smolvlm,
    "paligemma": paligemma,
    "florence2": florence2,
}


def tiny_vlm(folder: Path, family: str, seed: int = 0) -> Path:
    """A model of the family, saved in `folder`, which is returned. Its words differ from picture to picture."""
    torch.manual_seed(seed)
    model, files = FAMILIES[family]()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lambda" in name:  # InternVL's, which would hide what its layers see
                weight.fill_(1)
            elif weight.ndim > 1:
                weight.normal_(0, 1.5 * weight.shape[-1] ** -0.5)
    model.save_pretrained(folder)
    for name, content in files.items():
        if name == "tokenizer":
            content.save_pretrained(folder)
        elif name == "qformer_tokenizer":
            content.save_pretrained(folder / name)
        else:
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder
