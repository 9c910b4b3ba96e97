"""The OpenAPI description as a page that needs no script and no other host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color-scheme: light dark }
section { border-top: 1px solid #8886; padding: .5rem 0 }
h3 code { font-size: 1.05em } b { font-weight: 600 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }
td:first-child { white-space: nowrap } .wide { overflow-x: auto }
"""
Schema = Mapping[str, Any]


def page(openapi: Schema) -> str:
    """Every path with its fields."""
    schemas = openapi.get("components", {}).get("schemas", {})
    parts = [
        _section(path, method, told, schemas)
        for path, methods in openapi["paths"].items()
        for method, told in methods.items()
    ]
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}: API</title><style>{STYLE}</style></head>'
        f"<body><main><h1>{title}</h1><p>What this server can be asked. For programs: "
        f'<a href="openapi.json">openapi.json</a>.</p>\n{"".join(parts)}</main></body></html>\n'
    )


def _section(path: str, method: str, told: Schema, schemas: Schema) -> str:
    body = told.get("requestBody", {}).get("content", {})
    good = told.get("responses", {}).get("200", {}).get("content", {})
    fields = [
        *_rows(told.get("parameters", ()), schemas),
        *_fields(body.get("application/json", {}).get("schema", {}), schemas),
    ]
    answers = list(_fields(good.get("application/json", {}).get("schema", {}), schemas))
    kinds = f"<p>The body is {escape(' or '.join(body))}.</p>" if len(body) > 1 else ""
    return (
        f"<section><h3><b>{method.upper()}</b> <code>{escape(path)}</code></h3>"
        f"<p>{escape(told.get('description', ''))}</p>{kinds}{_table('Ask', fields)}{_table('Answer', answers)}"
        "</section>\n"
    )


def _table(title: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(words)}</td></tr>"
        for name, kind, words in rows
    )
    return f'<div class="wide"><table><tr><th>{title}</th><th>Type</th><th></th></tr>{lines}</table></div>'


def _rows(parameters: Any, schemas: Schema) -> Iterator[tuple[str, str, str]]:
    for one in parameters:
        yield one["name"], _kind(one.get("schema", {}), schemas), f"in the {one['in']}"


def _fields(schema: Schema, schemas: Schema) -> Iterator[tuple[str, str, str]]:
    schema = _resolved(schema, schemas)
    needed = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        words = [one.get("description", "")]
        if name in needed:
            words.append("Required." if "default" not in one else "")
        elif one.get("default") not in (None, "", [], False):
            words.append(f"Default: {one['default']}.")
        yield name, _kind(one, schemas), " ".join(filter(None, words))


def _kind(schema: Schema, schemas: Schema) -> str:
    """ "number", "list of texts", "null or text": what a reader calls it."""
    if "$ref" in schema:
        inner = _resolved(schema, schemas)
        return "{" + ", ".join(inner.get("properties", {})) + "}" if inner.get("properties") else _kind(inner, schemas)
    if "anyOf" in schema:
        kinds = dict.fromkeys(_kind(one, schemas) for one in schema["anyOf"] if one.get("type") != "null")
        return " or ".join(kinds)
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        items = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"list of {_kind(items, schemas)}"
    kind = str(schema.get("type", "any"))
    return "text" if kind == "string" else kind


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    found: Schema = schemas.get(schema["$ref"].rsplit("/", 1)[-1], {}) if "$ref" in schema else schema
    return found
