"""``/docs``: the API's reference as one plain page, made from its own schema; nothing is fetched from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_MODELS: Final = "#/components/schemas/"
_FORM: Final = "multipart/form-data"
#: FastAPI's names of forms begin so.
_FORM_MODEL: Final = "Body_"


@router.get("/docs")
def show_reference(request: Request) -> HTMLResponse:
    """The page."""
    schema = request.app.openapi()
    parts = [_HEAD, f"<h1>{escape(schema['info']['title'])}</h1>", _text(schema["info"]["description"])]
    parts.append('<p>For programs: <a href="/openapi.json">openapi.json</a></p>')
    models = schema["components"]["schemas"]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            parts += _operation(method, path, operation, models)
    parts.append("<h2>What is sent and answered</h2>")
    for name, model in models.items():
        if not name.startswith(_FORM_MODEL):
            parts += _model(name, model)
    return HTMLResponse("\n".join(parts) + "</main></html>")


def _operation(method: str, path: str, operation: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2>" + _text(operation.get("description", ""))
    rows = [
        (parameter["name"], f"{parameter['in']}: {_type(parameter['schema'])}", parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
    ]
    yield _table(rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        form = models.get(content["schema"].get("$ref", "").removeprefix(_MODELS), {})
        named = "" if kind == _FORM else _type(content["schema"]) + " as "
        yield f"<p>Body: {named}<code>{escape(kind)}</code></p>" + (_fields(form) if kind == _FORM else "")
    answers = []
    for status, answer in operation["responses"].items():
        kinds = [
            f"{_type(about.get('schema', {}))} as {escape(kind)}" for kind, about in answer.get("content", {}).items()
        ]
        answers.append((status, ", ".join(kinds), answer.get("description", "")))
    yield f"<details><summary>Answers</summary>{_table(answers)}</details>"


def _model(name: str, model: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3>' + _text(
        model.get("description", "").split("\n\nAttributes:")[0]
    )
    if "enum" in model:
        yield f"<p>{_type(model)}</p>"
    yield _fields(model)


def _fields(model: Mapping[str, Any]) -> str:
    needed = model.get("required", ())
    return _table(
        [
            (field + ("" if field in needed else "?"), _type(about), about.get("description", ""))
            for field, about in model.get("properties", {}).items()
        ]
    )


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in words (HTML)."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "enum" in schema:
        return " | ".join(escape(str(value)) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(each) for each in schema["anyOf"])
    words = escape(str(schema.get("type", "anything")))
    if schema.get("format") == "binary" or "contentMediaType" in schema:
        words = "file"
    if "items" in schema:
        words = f"list of {_type(schema['items'])}"
    limits = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    if "default" in schema and schema["default"] not in (None, "", [], {}):
        limits.append(f"default {escape(json.dumps(schema['default']))}")
    return words + (f" ({', '.join(limits)})" if limits else "")


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Rows of a name (text), a type (HTML) and a description (text)."""
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{kind}<td>{_words(about)}</tr>" for name, kind, about in rows
    )
    return f"<table>{cells}</table>" if rows else ""


def _text(text: str) -> str:
    return "".join(f"<p>{_words(part)}</p>" for part in text.split("\n\n") if part.strip())


def _words(text: str) -> str:
    """Text as HTML; what is in backquotes is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


_BOUNDS: Final = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "minLength": "at least",
    "maxLength": "at most",
}
_HEAD: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>FaceSnap API</title>
<meta name="viewport" content="width=device-width"><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui;margin:0}main{max-width:52rem;margin:auto;padding:1rem}
h2{font-size:1.1rem;margin-top:2.5rem;border-top:1px solid #8886;padding-top:.6rem}h3{font-size:1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}td{padding:.25rem .6rem .25rem 0;vertical-align:top;
border-top:1px solid #8883;overflow-wrap:anywhere}td:first-child{width:12rem}</style><main>"""
