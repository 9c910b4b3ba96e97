"""OpenAI's Chat Completions, `POST {base}/chat/completions`, which vLLM, SGLang, llama.cpp and LM Studio speak too.

What the documents say (read in November 2026: the types of openai-python 3.57, which are generated from OpenAI's
OpenAPI description; the guides "Images and vision" and "Batch"; llama.cpp's server README):

- A picture is a content part {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,...", "detail"}};
  `detail` is low, high, original or auto, and auto is original for the newest models, so it is always said here.
- `max_completion_tokens` counts thinking too; `max_tokens` is deprecated and refused by thinking models, but it is the
  one that every other server knows.
- `logprobs: true` returns {"token", "bytes", "logprob", "top_logprobs"} for each token of the reply, the end token not
  among them. Thinking models and some servers refuse it.
- `finish_reason` is stop, length, tool_calls, content_filter or function_call; a refusal stands in `message.refusal`.
- `reasoning_effort` is none, minimal, low, medium, high, xhigh or max; `store` keeps a completion at OpenAI, which we
  decline. Servers put thinking into `message.reasoning_content` (vLLM, llama.cpp, SGLang) or before the text.
- A batch file has a line {"custom_id", "method", "url", "body"} for each request, at most 50,000 and 200 MB; its
  results {"custom_id", "response": {"status_code", "body"}, "error"} come in any order, failures in their own file.
"""

from __future__ import annotations

from collections.abc import Mapping

from seesay.backends.wire import BatchFailure, Json, Reply, Request, Usage, at, chosen, count, scored, words

BASE = "https://api.openai.com/v1"
KEYS: tuple[str, ...] = ("OPENAI_API_KEY",)
BATCH: tuple[int, int] | None = (50_000, 200_000_000)


def path(model: str) -> str:
    return "/chat/completions"


def headers(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def request(asked: Request) -> Json:
    picture = {"url": f"data:image/jpeg;base64,{asked.base64}", "detail": "high"}
    content = [{"type": "image_url", "image_url": picture}, {"type": "text", "text": asked.text}]
    return {
        "model": asked.model,
        "messages": [{"role": "user", "content": content}],
        **({"max_completion_tokens": asked.most, "store": False} if asked.own else {"max_tokens": asked.most}),
        **chosen(
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=asked.top_k,
            seed=asked.seed,
            reasoning_effort=asked.effort,
            logprobs=asked.logprobs or None,
        ),
    }


def parse(body: Json) -> Reply:
    choice = at(body, "choices", 0)
    message, finish = at(choice, "message"), choice.get("finish_reason")
    refusal = words(message.get("refusal"))
    filtered = finish == "content_filter"
    return Reply(
        text=words(message.get("content")),
        finish="refused" if refusal or filtered else "length" if finish == "length" else "stop",
        usage=Usage(count(body, "usage", "prompt_tokens"), count(body, "usage", "completion_tokens")),
        model=words(body.get("model")),
        logprobs=scored((choice.get("logprobs") or {}).get("content")),
        reason=refusal or ("content filter" if filtered else ""),
    )


def batch_line(identity: str, body: Json) -> Json:
    return {"custom_id": identity, "method": "POST", "url": "/v1/chat/completions", "body": body}


def batch_result(line: Json) -> tuple[str, Json | BatchFailure]:
    identity, response = at(line, "custom_id"), line.get("response") or {}
    body: Json = response.get("body") or {}
    if response.get("status_code") == 200:
        return identity, body
    error = line.get("error") or body.get("error") or {}
    return identity, BatchFailure(words(error.get("message")) or f"status {response.get('status_code')}")
