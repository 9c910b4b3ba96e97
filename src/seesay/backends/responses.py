"""OpenAI's Responses, `POST {base}/responses`, the protocol of its newer models.

What the documents say (read in November 2026: the types of openai-python 3.57; the guides "Images and vision" and
"Batch"):

- Input is a list of messages whose parts are {"type": "input_image", "image_url": "data:...", "detail"} and
  {"type": "input_text", "text"}; `detail` is required and as in Chat Completions.
- `max_output_tokens` counts thinking too. There is no `seed`, `top_k` or `n`. `reasoning.effort` is as in Chat.
- Responses are kept at OpenAI unless `store` is false.
- Output is a list of items; the words are the parts of type output_text in items of type message, refusals are parts of
  type refusal, thinking is in items of type reasoning. A message may be of the phase "commentary", which is none of the
  answer. Log-probabilities are returned when `include` names "message.output_text.logprobs".
- `status` is completed, incomplete (with `incomplete_details.reason` max_output_tokens or content_filter), or failed
  (with `error`).
- Batch files are those of Chat Completions with the url /v1/responses.
"""

from __future__ import annotations

from collections.abc import Mapping

from seesay.backends import chat
from seesay.backends.wire import BatchFailure, Json, Malformed, Reply, Request, Usage, at, chosen, count, scored, words

BASE = chat.BASE
KEYS = chat.KEYS
BATCH = chat.BATCH


def path(model: str) -> str:
    return "/responses"


def headers(key: str) -> Mapping[str, str]:
    return chat.headers(key)


def request(asked: Request) -> Json:
    content = [
        {"type": "input_image", "image_url": f"data:image/jpeg;base64,{asked.base64}", "detail": "high"},
        {"type": "input_text", "text": asked.text},
    ]
    return {
        "model": asked.model,
        "input": [{"role": "user", "content": content}],
        "max_output_tokens": asked.most,
        "store": False,
        **chosen(
            temperature=asked.temperature,
            top_p=asked.top_p,
            reasoning={"effort": asked.effort} if asked.effort else None,
            include=["message.output_text.logprobs"] if asked.logprobs else None,
        ),
    }


def parse(body: Json) -> Reply:
    messages = [item for item in at(body, "output") if item.get("type") == "message"]
    parts = [part for item in messages if item.get("phase") != "commentary" for part in at(item, "content")]
    said = [part for part in parts if part.get("type") == "output_text"]
    refusal = " ".join(words(part.get("refusal")) for part in parts if part.get("type") == "refusal")
    status, why = at(body, "status"), (body.get("incomplete_details") or {}).get("reason")
    if status not in ("completed", "incomplete"):
        raise Malformed(f"its status is {status}")
    filtered = why == "content_filter"
    return Reply(
        text="".join(words(part.get("text")) for part in said),
        finish="refused" if refusal or filtered else "length" if status == "incomplete" else "stop",
        usage=Usage(count(body, "usage", "input_tokens"), count(body, "usage", "output_tokens")),
        model=words(body.get("model")),
        logprobs=tuple(one for part in said for one in scored(part.get("logprobs"))),
        reason=refusal or ("content filter" if filtered else ""),
    )


def batch_line(identity: str, body: Json) -> Json:
    return {"custom_id": identity, "method": "POST", "url": "/v1/responses", "body": body}


def batch_result(line: Json) -> tuple[str, Json | BatchFailure]:
    return chat.batch_result(line)
