"""A llama of 27,000 random weights as a GGUF file, for llama.cpp to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

WIDTH = 32
CONTEXT = 8192
SPECIAL = [("<unk>", TokenType.UNKNOWN), ("<s>", TokenType.CONTROL), ("</s>", TokenType.CONTROL)]
BYTES = [(f"<0x{byte:02X}>", TokenType.BYTE) for byte in range(256)]
LETTERS = [("▁" if letter == " " else letter, TokenType.NORMAL) for letter in map(chr, range(32, 127))]
PIECES = [*SPECIAL, *BYTES, *LETTERS]
"""A SentencePiece vocabulary, as Mistral's is one: a token for each letter, and for each byte of any other."""


def tiny_gguf(path: Path, template: str = "", seed: int = 0) -> Path:
    """Writes the file, and returns its path. template: of chats; "" for none, as in the files of 2023."""
    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(len(PIECES))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece for piece, _ in PIECES])
    writer.add_token_scores([0.0] * len(PIECES))
    writer.add_token_types([kind for _, kind in PIECES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if template:
        writer.add_chat_template(template)
    for name in ("token_embd.weight", "output.weight"):
        writer.add_tensor(name, random.normal(size=(len(PIECES), WIDTH)).astype(np.float32))
    for name in ("output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"):
        writer.add_tensor(name, np.ones(WIDTH, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", random.normal(size=(WIDTH, WIDTH)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
