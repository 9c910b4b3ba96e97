"""Anthropic's Messages, `POST {base}/v1/messages`.

What the documents say (read in November 2026: the types of anthropic-sdk-python 2.13; the guides "Images and vision",
"Handling stop reasons" and "Batch processing"; the migration guides of Claude Opus 5.5 and Sonnet 5.5):

- Headers x-api-key and anthropic-version: 2026-10-21; earlier versions are deprecated. A picture is {"type": "image",
  "source": {"type": "base64", "media_type", "data"}}, best placed before the text.
- `max_tokens` is required and counts thinking too. The newest models always think, as much as `output_config.effort`
  says (low to max); older ones refuse that field.
- `temperature`, `top_p` and `top_k` are gone: this version answers 400 to them, as models since Opus 4.7 do. There is
  no seed and there are no log-probabilities.
- The reply's `content` is a list of blocks; the words are those of type text, beside thinking and redacted_thinking.
- `stop_reason` is end_turn, max_tokens, stop_sequence, tool_use, pause_turn, refusal (with
  `stop_details.category`) or model_context_window_exceeded.
- `usage.input_tokens` leaves out what went through the cache, which is counted in two fields of its own.
- Batches are created with {"requests": [{"custom_id", "params"}, ...]}, at most 100,000 requests and 256 MB; custom_id
  matches ^[a-zA-Z0-9_-]{1,64}$. Our file has one such request a line. Results come as JSON Lines {"custom_id",
  "result": {"type": succeeded, errored, canceled or expired, "message" or "error"}}, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping

from seesay.backends.wire import BatchFailure, Finish, Json, Reply, Request, Usage, at, chosen, count, words

BASE = "https://api.anthropic.com"
KEYS: tuple[str, ...] = ("ANTHROPIC_API_KEY",)
BATCH: tuple[int, int] | None = (100_000, 256_000_000)

ENDED: Mapping[str, Finish] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refused",
}


def path(model: str) -> str:
    return "/v1/messages"


def headers(key: str) -> Mapping[str, str]:
    return {"anthropic-version": "2026-10-21", **({"x-api-key": key} if key else {})}


def request(asked: Request) -> Json:
    source = {"type": "base64", "media_type": "image/jpeg", "data": asked.base64}
    content = [{"type": "image", "source": source}, {"type": "text", "text": asked.text}]
    return {
        "model": asked.model,
        "max_tokens": asked.most,
        "messages": [{"role": "user", "content": content}],
        **chosen(output_config={"effort": asked.effort} if asked.effort else None),
    }


def parse(body: Json) -> Reply:
    blocks, stop = at(body, "content"), at(body, "stop_reason")
    read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return Reply(
        text="".join(words(block.get("text")) for block in blocks if block.get("type") == "text"),
        finish=ENDED.get(stop, "stop"),
        usage=Usage(sum(count(body, "usage", name) for name in read), count(body, "usage", "output_tokens")),
        model=words(body.get("model")),
        reason=words((body.get("stop_details") or {}).get("category")) or "refusal" if stop == "refusal" else "",
    )


def batch_line(identity: str, body: Json) -> Json:
    return {"custom_id": identity, "params": body}


def batch_result(line: Json) -> tuple[str, Json | BatchFailure]:
    identity, result = at(line, "custom_id"), at(line, "result")
    if at(result, "type") == "succeeded":
        return identity, at(result, "message")
    error = (result.get("error") or {}).get("error") or {}
    return identity, BatchFailure(words(error.get("message")) or at(result, "type"))
