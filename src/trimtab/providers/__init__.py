"""Providers: the only speaker of HTTP to models, and the simulated model that needs none."""

from .anthropic import Anthropic
from .exchange import Response
from .http import HttpClient
from .openai import OpenAI
from .provider import Providers, ProviderSpec
from .scripted import Identity, Scripted, Skill

__all__ = [
    "Anthropic",
    "HttpClient",
    "Identity",
    "OpenAI",
    "ProviderSpec",
    "Providers",
    "Response",
    "Scripted",
    "Skill",
]
