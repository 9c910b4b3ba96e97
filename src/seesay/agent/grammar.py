"""JSON Schema as a grammar of llama.cpp (GBNF): what a model under it writes is JSON by the schema, whoever it is.

llama.cpp can make such grammars itself, but where it was built with llguidance (as in xllamacpp's wheels of October
2026) they lose hold of a model with a SentencePiece vocabulary, such as Mistral's, when it writes the token that is
only a space. Its own grammars do not, so they are written here.

Covers what tools have as arguments: objects, lists, texts with lengths, numbers, choices, alternatives.
Anything else is any JSON value. An object has all its properties, in the schema's order, one space behind colon and
comma: a small model needs no choice there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

RULES = {
    "char": r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})',
    "integer": '"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": 'integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,3})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "text": r'"\"" char* "\""',
    "value": "object | list | text | number | boolean | null",
    "object": '"{" (text ": " value (", " text ": " value)*)? "}"',
    "list": '"[" (value (", " value)*)? "]"',
}
SIMPLE = ("integer", "number", "boolean", "null")


def gbnf(schema: Schema) -> str:
    """The grammar whose sentences are the JSON values that the schema allows."""
    writer = _Writer()
    rules = {"root": writer.rule(schema), **writer.rules, **RULES}
    return "".join(f"{name} ::= {body}\n" for name, body in rules.items())


class _Writer:
    def __init__(self) -> None:
        self.rules: dict[str, str] = {}

    def rule(self, schema: Schema) -> str:
        """The body of a rule; what is repeated within it has a rule of its own."""
        if "const" in schema:
            return _exactly(schema["const"])
        if "enum" in schema:
            return _either(_exactly(one) for one in schema["enum"])
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return _either(self.rule(one) for one in schema[word])
        match schema.get("type"):
            case "string":
                return _text(schema)
            case "object" if "properties" in schema:
                return self._object(schema["properties"])
            case "array" if "items" in schema:
                item = self._named(self.rule(schema["items"]))
                return f'"[" ({item} (", " {item})*)? "]"'
            case "object":
                return "object"
            case "array":
                return "list"
            case str() as kind if kind in SIMPLE:
                return kind
        return "value"

    def _object(self, properties: Mapping[str, Schema]) -> str:
        members = [f"{_exactly(name, ': ')} {self._named(self.rule(one))}" for name, one in properties.items()]
        return '"{" ' + ' ", " '.join(members) + ' "}"' if members else '"{}"'

    def _named(self, body: str) -> str:
        if body in RULES or body in self.rules:
            return body
        name = f"rule-{len(self.rules)}"
        self.rules[name] = body
        return name


def _text(schema: Schema) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if not least and most is None:
        return "text"
    return rf'"\"" char{{{least},{"" if most is None else most}}} "\""'


def _exactly(value: object, then: str = "") -> str:
    """The value's JSON as GBNF writes a text: quotes and backslashes escaped (JSON has no line ends left)."""
    text = json.dumps(value, ensure_ascii=False) + then
    for sign, escape in (("\\", "\\\\"), ('"', '\\"')):
        text = text.replace(sign, escape)
    return f'"{text}"'


def _either(bodies: Any) -> str:
    return "(" + " | ".join(bodies) + ")"
