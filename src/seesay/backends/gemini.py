"""Gemini's generateContent, `POST {base}/v1/models/MODEL:generateContent`.

What the documents say (read in November 2026: the types of google-genai 3.6; the guides "Image understanding",
"Media resolution", "Tokens", "API versions" and "Batch API"):

- v1 is the stable version, and the one the newest client asks.
- The key goes into the header x-goog-api-key (as a query parameter it would end in logs).
- A picture is a part {"inlineData": {"mimeType", "data"}}; a request holds 20 MB at most.
- `generationConfig` has maxOutputTokens (thinking included), temperature, topP, topK, seed and thinkingConfig, whose
  thinkingLevel (LOW to XHIGH) models before Gemini 3 refuse. Log-probabilities (responseLogprobs) are accepted by some
  models only, and are not asked for.
- The words are the parts of the first candidate that have no `thought: true`. `finishReason` is STOP, MAX_TOKENS,
  CONTINUATION, or one of many refusals (SAFETY, RECITATION, PROHIBITED_CONTENT, ...). A refused prompt has no
  candidate, and `promptFeedback.blockReason`.
- Thoughts are billed as output and counted apart, in thoughtsTokenCount.
- A batch file has a line {"key", "request"} for each request, at most 2 GB; its results {"key", "response"} or {"key",
  "error"}.
"""

from __future__ import annotations

from collections.abc import Mapping

from seesay.backends.wire import BatchFailure, Json, Malformed, Reply, Request, Usage, at, chosen, count, words

BASE = "https://generativelanguage.googleapis.com"
KEYS: tuple[str, ...] = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
BATCH: tuple[int, int] | None = (1_000_000, 2_000_000_000)

ENDED = ("STOP", "MAX_TOKENS", "CONTINUATION")


def path(model: str) -> str:
    return f"/v1/models/{model}:generateContent"


def headers(key: str) -> Mapping[str, str]:
    return {"x-goog-api-key": key} if key else {}


def request(asked: Request) -> Json:
    picture = {"inlineData": {"mimeType": "image/jpeg", "data": asked.base64}}
    return {
        "contents": [{"role": "user", "parts": [picture, {"text": asked.text}]}],
        "generationConfig": {
            "maxOutputTokens": asked.most,
            **chosen(
                temperature=asked.temperature,
                topP=asked.top_p,
                topK=asked.top_k,
                seed=asked.seed,
                thinkingConfig={"thinkingLevel": asked.effort.upper()} if asked.effort else None,
            ),
        },
    }


def parse(body: Json) -> Reply:
    usage = Usage(
        count(body, "usageMetadata", "promptTokenCount"),
        count(body, "usageMetadata", "candidatesTokenCount") + count(body, "usageMetadata", "thoughtsTokenCount"),
    )
    model = words(body.get("modelVersion"))
    if blocked := (body.get("promptFeedback") or {}).get("blockReason"):
        return Reply("", "refused", usage, model, reason=words(blocked))
    candidate = at(body, "candidates", 0)
    finish = words(candidate.get("finishReason")) or "STOP"
    if finish in ("MALFORMED_RESPONSE", "OTHER"):
        raise Malformed(f"its finishReason is {finish}")
    parts = (candidate.get("content") or {}).get("parts") or []  # thinking may leave no room for a single part
    return Reply(
        text="".join(words(part.get("text")) for part in parts if not part.get("thought")),
        finish="stop" if finish == "STOP" else "length" if finish in ENDED else "refused",
        usage=usage,
        model=model,
        reason="" if finish in ENDED else finish,
    )


def batch_line(identity: str, body: Json) -> Json:
    return {"key": identity, "request": body}


def batch_result(line: Json) -> tuple[str, Json | BatchFailure]:
    if response := line.get("response"):
        return at(line, "key"), response
    error = line.get("error") or line.get("status") or {}
    return at(line, "key"), BatchFailure(words(error.get("message")) or "no response")
