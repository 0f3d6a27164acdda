"""``GET /api/openapi.json``: the control API described, OpenAPI 3.1. Built once from the table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .api_table import TABLE, Line

_TYPES: dict[str, dict[str, Any]] = {
    "s": {"type": "string"},
    "i": {"type": "integer"},
    "n": {"type": "number"},
    "b": {"type": "boolean"},
    "o": {"type": "object"},
    "a": {"type": "array", "items": {}},
}
_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")
#: Path parameters that are whole numbers.
_WHOLE = {("/api/incidents", "id"), ("/api/versions", "number")}
_OTHER = {
    "/api/incidents/{id}/postmortem": "text/markdown",
    "/api/evals/runs/{id}/junit": "application/xml",
    "/api/evals/labels": "application/x-ndjson",
    "/api/traces/export": "application/x-ndjson",
}


def plain_path(path: str) -> str:
    """A route's path as OpenAPI writes it: ``{id:int}`` is ``{id}``."""
    return _PARAMETER.sub(r"{\1}", path)


def openapi_route(version: str) -> Route:
    """The address that serves the description."""
    body = msgspec.json.encode(describe(TABLE, version))

    async def shown(request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Route("/api/openapi.json", shown, methods=["GET"])


def described(routes: Iterable[BaseRoute]) -> set[tuple[str, str]]:
    """Method and path of every route of the control API among ``routes``."""
    return {
        (method, plain_path(route.path))
        for route in routes
        if isinstance(route, Route) and route.path.startswith("/api/") and route.path != "/api/openapi.json"
        for method in (route.methods or ())
        if method != "HEAD"
    }


def describe(table: Iterable[Line], version: str) -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for line in table:
        paths.setdefault(line.path, {})[line.method.lower()] = _operation(line)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trimtab control API", "version": version},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(line: Line) -> dict[str, Any]:
    words = [w for w in re.split(r"[/{}._-]+", line.path.removeprefix("/api/")) if w]
    operation: dict[str, Any] = {
        "operationId": "_".join([line.method.lower(), *words]),
        "summary": line.summary,
        "tags": words[:1],
        "responses": {
            "2XX": {
                "description": "What was asked for.",
                "content": {
                    _OTHER.get(line.path, "application/json") if line.method == "GET" else "application/json": {}
                },
            },
            "4XX": {
                "description": "What is wrong, with the field and the mend.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _path_type(line.path, name)}
        for name, _ in _PARAMETER.findall(line.path)
    ] + [
        {"name": name, "in": "query", "required": needed, "schema": schema}
        for name, schema, needed in _fields(line.query)
    ]
    if parameters:
        operation["parameters"] = parameters
    if line.body:
        operation["requestBody"] = {"content": {"application/json": {"schema": _body(line.body)}}}
    return operation


def _path_type(path: str, name: str) -> dict[str, Any]:
    whole = any(path.startswith(start) and name == known for start, known in _WHOLE)
    return {"type": "integer", "minimum": 0} if whole else {"type": "string", "minLength": 1}


def _fields(said: str) -> list[tuple[str, dict[str, Any], bool]]:
    found = []
    for field in said.split():
        name, _, kind = field.partition(":")
        found.append((name, _TYPES[kind.rstrip("!")], kind.endswith("!")))
    return found


def _body(said: str) -> dict[str, Any]:
    if said == "*":
        return {"type": "object"}
    fields = _fields(said)
    schema: dict[str, Any] = {"type": "object", "properties": {name: kind for name, kind, _ in fields}}
    if needed := [name for name, _, must in fields if must]:
        schema["required"] = needed
    return schema


_PROBLEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string"},
        "mend": {"type": "string"},
        "layer": {"type": ["integer", "null"]},
    },
    "required": ["detail"],
}
