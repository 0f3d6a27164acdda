"""Every kind of provider in one table: the vendors that speak OpenAI's dialect differ only in a few words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What is special about one OpenAI-compatible vendor or server.

    ``base_url`` is where it is when the configuration names no other; empty when only the configuration can know.
    ``key_header`` carries the key; the header ``authorization`` carries it as a bearer token. ``new_limit``: it knows
    ``max_completion_tokens``; else that becomes ``max_tokens``. ``stream_options``: it knows how to be asked for the
    usage of a stream. ``responses``: it may speak the Responses API; it is asked once, and a server that does not is
    remembered. ``reasoning_in``: it takes the reasoning of earlier turns back as ``reasoning_content``.
    """

    base_url: str = ""
    key_header: str = "authorization"
    new_limit: bool = False
    stream_options: bool = True
    responses: bool = False
    reasoning_in: bool = False


#: The OpenAI-compatible kinds. A new one is a line here and its name in ``config.shape``.
PRESETS: dict[str, Preset] = {
    "openai": Preset(base_url="https://api.openai.com/v1", new_limit=True, responses=True),
    "azure": Preset(key_header="api-key", new_limit=True, responses=True),
    "vllm": Preset(base_url="http://127.0.0.1:8000/v1", new_limit=True, responses=True, reasoning_in=True),
    "sglang": Preset(base_url="http://127.0.0.1:30000/v1", new_limit=True, reasoning_in=True),
    "llamacpp": Preset(base_url="http://127.0.0.1:8080/v1", reasoning_in=True),
    "ollama": Preset(base_url="http://127.0.0.1:11434/v1"),
    "lmstudio": Preset(base_url="http://127.0.0.1:1234/v1"),
    "mistral": Preset(base_url="https://api.mistral.ai/v1", stream_options=False),
    "groq": Preset(base_url="https://api.groq.com/openai/v1", new_limit=True),
    "deepseek": Preset(base_url="https://api.deepseek.com/v1", reasoning_in=True),
    "openrouter": Preset(base_url="https://openrouter.ai/api/v1", new_limit=True),
    "together": Preset(base_url="https://api.together.xyz/v1"),
    "fireworks": Preset(base_url="https://api.fireworks.ai/inference/v1", reasoning_in=True),
    "xai": Preset(base_url="https://api.x.ai/v1", new_limit=True, responses=True),
    "cerebras": Preset(base_url="https://api.cerebras.ai/v1", new_limit=True),
    "nvidia": Preset(base_url="https://integrate.api.nvidia.com/v1"),
    "deepinfra": Preset(base_url="https://api.deepinfra.com/v1/openai"),
    "perplexity": Preset(base_url="https://api.perplexity.ai", stream_options=False),
}
