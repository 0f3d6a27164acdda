"""Providers: the only speaker of HTTP to models, and the simulated model that needs none."""

from .anthropic import MESSAGES, Anthropic
from .deadlines import Deadlines, deadlines
from .embeddings import EMBEDDINGS, embed
from .endpoint import Endpoint
from .estimate import COUNT, estimate_tokens
from .exchange import Response
from .gemini import Gemini
from .http import HttpClient
from .litellm import LiteLLM
from .openai import OpenAI
from .outbox import Outbox, outbox
from .presets import PRESETS, Preset
from .provider import KINDS, Provider, Providers, ProviderSpec
from .responses import RESPONSES, ended, said_in, stored_reply
from .scripted import Identity, Scripted, Skill

__all__ = [
    "COUNT",
    "EMBEDDINGS",
    "KINDS",
    "MESSAGES",
    "PRESETS",
    "RESPONSES",
    "Anthropic",
    "Deadlines",
    "Endpoint",
    "Gemini",
    "HttpClient",
    "Identity",
    "LiteLLM",
    "OpenAI",
    "Outbox",
    "Preset",
    "Provider",
    "ProviderSpec",
    "Providers",
    "Response",
    "Scripted",
    "Skill",
    "deadlines",
    "embed",
    "ended",
    "estimate_tokens",
    "outbox",
    "said_in",
    "stored_reply",
]
