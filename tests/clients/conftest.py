"""A strict vendor and one Trimtab in front of it, for the whole session."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from strict_provider import ANTHROPIC_KEY, OPENAI_KEY, SECOND_KEY, Strict

ADMIN_KEY = "tt-clients-admin-0123456789"

CONFIG = """\
providers:
  openai: {{kind: openai, base_url: "{url}", api_key: env:STRICT_OPENAI}}
  second: {{kind: openai, base_url: "{url}", api_key: env:STRICT_SECOND}}
  anthropic: {{kind: anthropic, base_url: "{url}", api_key: env:STRICT_ANTHROPIC}}
  old: {{kind: openai, base_url: "{old}", api_key: env:STRICT_OPENAI}}
  chat:
    {{kind: groq, base_url: "{url}", api_key: env:STRICT_OPENAI, headers: {{x-team: env:STRICT_TEAM}}, timeout: 30s}}
routes:
  spare: {{targets: [{{model: openai/busy-model}}], fallback: [anthropic/claude-x], attempts: 2}}
  both:
    targets: [{{model: openai/gpt-x, weight: 1}}, {{model: second/gpt-x, weight: 1}}]
    strategy: weighted
  first: {{targets: [{{model: openai/gpt-x}}], cache: {{sampled: true, scope: all}}}}
  mixed: {{targets: [{{model: anthropic/claude-x}}], fallback: [openai/gpt-x]}}
prices:
  openai/priced: {{input: 1000, output: 2000}}
"""


def _tests_conftest() -> ModuleType:
    """The conftest of all tests, for the class that runs a server: its fixture lives only as long as one test."""
    spec = importlib.util.spec_from_file_location("tests_conftest", Path(__file__).parents[1] / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def strict() -> Iterator[Strict]:
    made = Strict()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def server(strict: Strict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("clients")
    config = folder / "trimtab.yaml"
    config.write_text(CONFIG.format(url=strict.url, old=strict.url.replace("/v1", "/old/v1")))
    env = {
        "STRICT_OPENAI": OPENAI_KEY,
        "STRICT_SECOND": SECOND_KEY,
        "STRICT_ANTHROPIC": ANTHROPIC_KEY,
        "STRICT_TEAM": "blue",
        "TRIMTAB_ADMIN_KEY": ADMIN_KEY,
    }
    running = _tests_conftest().Running(data=folder / "data", config=config, env=env)
    yield running
    running.stop()
