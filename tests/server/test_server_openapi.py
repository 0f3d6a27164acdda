"""The control API is described whole, and nothing that fits the description breaks the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab.config import Config
from trimtab.web.api_table import TABLE
from trimtab.web.openapi import describe, described
from trimtab.web.server import api_routes
from trimtab.wiring import build


async def test_every_address_of_the_api_is_in_the_description_and_nothing_else(tmp_path: Path) -> None:
    house = await build(Config(data=tmp_path / "data"))
    try:
        routes = described(api_routes(house))
    finally:
        await house.close()
    table = {(line.method, line.path) for line in TABLE}
    assert sorted(routes - table) == [], "describe these in web/api_table.py"
    assert sorted(table - routes) == [], "these exist no more"
    assert len(table) == len(TABLE), "each once"


def test_the_description_names_parameters_and_bodies() -> None:
    document = describe(TABLE, "1.2.3")
    assert document["openapi"].startswith("3.1")
    one = document["paths"]["/api/incidents/{id}"]["get"]
    assert [(p["name"], p["in"], p["schema"]["type"]) for p in one["parameters"]] == [("id", "path", "integer")]
    body = document["paths"]["/api/keys"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["name"]
    assert body["properties"]["budget_usd"] == {"type": "number"}
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))


def test_no_request_that_a_machine_makes_up_is_a_server_error(start_server: Callable[..., Any], tmp_path: Path) -> None:
    server = start_server()
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            str(program), "run", f"{server.url}/api/openapi.json", "--checks", "not_a_server_error", "--max-examples",
            "5", "--phases", "coverage,fuzzing", "--request-timeout", "20", "--generation-database", "none", "--seed",
            "11", "--warnings", "off",
        ],
        capture_output=True, text=True, timeout=400, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"Tested: {len(TABLE)}" in done.stdout
