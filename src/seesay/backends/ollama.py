"""Ollama's chat, `POST {base}/api/chat`.

What the documents say (read in November 2026: Ollama's docs/api.md and the types of ollama-python 0.6):

- Pictures are base64 texts in `messages[].images`. `stream` must be false for one answer.
- `options` has num_predict, temperature, top_p, top_k and seed.
- A model that can think does so unless `think` is false; thoughts come in `message.thinking`, and count as eval_count.
- `logprobs: true` returns {"token", "logprob"} for each token of the reply; older servers pass over the field.
- `done_reason` is stop, length or load; prompt_eval_count and eval_count are the tokens read and written. What was read
  from the cache is not always counted.
- A model that is not there answers 404. There is no key and no batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from seesay.backends.wire import BatchFailure, Json, Malformed, Reply, Request, Usage, at, chosen, count, scored, words

BASE = "http://localhost:11434"
KEYS: tuple[str, ...] = ()
BATCH: tuple[int, int] | None = None


def path(model: str) -> str:
    return "/api/chat"


def headers(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def request(asked: Request) -> Json:
    options = chosen(
        num_predict=asked.most,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        seed=asked.seed,
    )
    return {
        "model": asked.model,
        "messages": [{"role": "user", "content": asked.text, "images": [asked.base64]}],
        "stream": False,
        "think": False,
        "options": options,
        **chosen(logprobs=asked.logprobs or None),
    }


def parse(body: Json) -> Reply:
    if not body.get("done"):
        raise Malformed("it is not done")
    return Reply(
        text=words(at(body, "message").get("content")),
        finish="length" if body.get("done_reason") == "length" else "stop",
        usage=Usage(count(body, "prompt_eval_count"), count(body, "eval_count")),
        model=words(body.get("model")),
        logprobs=scored(body.get("logprobs")),
    )


def batch_line(identity: str, body: Json) -> Json:
    raise NotImplementedError  # BATCH is None


def batch_result(line: Json) -> tuple[str, Json | BatchFailure]:
    raise NotImplementedError
