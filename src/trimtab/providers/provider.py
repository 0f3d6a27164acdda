"""The providers that the configuration names, and the models behind ``provider/model``."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trimtab.core import BadInput, ConfigError, Model, NotFound

from .anthropic import Anthropic
from .embeddings import embed
from .endpoint import Endpoint
from .gemini import Gemini
from .http import HttpClient, target_of
from .litellm import LiteLLM
from .openai import OpenAI
from .presets import PRESETS
from .scripted import Scripted

#: The adapters that speak another dialect than OpenAI's. A new one is its file and a line here.
ADAPTERS: dict[str, Callable[[Endpoint], Provider]] = {
    "anthropic": Anthropic,
    "gemini": Gemini,
    "litellm": LiteLLM,
}
KINDS = (*PRESETS, *ADAPTERS, "scripted")


class Provider(Protocol):
    """Whoever has models."""

    def model(self, name: str) -> Model:
        """The model of that name.

        It may have ``whole(call)`` besides: the answer to a call that does not stream, as one piece, within the call's
        ``timeout``, which nobody else watches over then.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """One provider: ``kind`` is one of KINDS. Key and headers never show in ``repr``.

    ``api_version`` is for Azure's older addresses; ``headers`` go with every request; ``timeout`` bounds every call in
    seconds beside the call's own, 0 is no bound.
    """

    kind: str
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    api_version: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 0.0


class Providers:
    """Every provider by name. With ``scripted`` given there is always a provider ``scripted``."""

    def __init__(
        self, specs: Mapping[str, ProviderSpec], *, http: HttpClient, scripted: Scripted | None = None
    ) -> None:
        """Raises ConfigError naming the field when a spec is wrong."""
        self._http = http
        self._scripted = scripted
        self._providers: dict[str, Provider] = {}
        self._specs: Mapping[str, ProviderSpec] = {}
        self.replace(specs)

    def replace(self, specs: Mapping[str, ProviderSpec]) -> None:
        """Have these providers from now on; one whose spec is the same stays. Models that were handed out go on.

        Raises ConfigError naming the field when a spec is wrong, and then changes nothing.
        """
        made = {
            name: self._providers[name]
            if self._specs.get(name) == spec
            else _provider(name, spec, self._http, self._scripted)
            for name, spec in specs.items()
        }
        if self._scripted is not None:
            made.setdefault("scripted", self._scripted)
        self._providers, self._specs = made, dict(specs)

    def names(self) -> list[str]:
        """The providers' names."""
        return sorted(self._providers)

    def refs(self) -> list[str]:
        """Every ``provider/model`` that is known without asking a vendor: the simulated ones."""
        return [
            f"{name}/{model}"
            for name, provider in sorted(self._providers.items())
            if isinstance(provider, Scripted)
            for model in provider.models
        ]

    def model(self, ref: str) -> Model:
        """The model behind ``provider/model``. Raises NotFound, listing what there is."""
        name, _, model = ref.partition("/")
        provider = self._providers.get(name)
        if provider is None or not model:
            there = ", ".join(f"{n}/..." for n in self.names()) or "none: add one under providers"
            raise NotFound(f"there is no model {ref!r}.", field="model", mend=f"Providers: {there}.")
        return provider.model(model)

    def keeps(self, ref: str) -> bool:
        """Whether the provider of a model has a Responses API of its own, and so keeps what it answers there."""
        provider = self._providers.get(ref.partition("/")[0])
        return isinstance(provider, OpenAI) and provider.keeps

    def keeper(self, name: str) -> OpenAI:
        """The account that keeps responses, by its name. Raises NotFound where it is gone."""
        provider = self._providers.get(name)
        if not isinstance(provider, OpenAI):
            mend = "Put the provider back into the configuration."
            raise NotFound(f"the account {name!r}, which keeps this response, is not there any more.", mend=mend)
        return provider

    def embedder(self, ref: str) -> Callable[[Sequence[str]], Awaitable[list[list[float]]]]:
        """Texts to vectors, by the model behind ``provider/model``. Raises NotFound, listing what there is."""
        return functools.partial(embed, self.model(ref))


def _provider(name: str, spec: ProviderSpec, http: HttpClient, scripted: Scripted | None) -> Provider:
    where = f"providers.{name}"
    if not name or "/" in name:
        raise ConfigError(f"{name!r} cannot name a provider.", field=where, mend="Use a name without '/'.")
    if spec.kind == "scripted":
        if scripted is None:
            raise ConfigError("simulated models are not available here.", field=f"{where}.kind")
        return scripted
    if spec.kind not in KINDS:
        mend = f"Use one of {', '.join(KINDS)}."
        raise ConfigError(f"{spec.kind!r} is no kind of provider.", field=f"{where}.kind", mend=mend)
    preset = PRESETS.get(spec.kind)
    if preset is not None and not (spec.base_url or preset.base_url):
        mend = "Write the address of your resource, such as https://NAME.openai.azure.com."
        raise ConfigError(f"the kind {spec.kind} has no address of its own.", field=f"{where}.base_url", mend=mend)
    if spec.base_url:
        try:
            target_of(spec.base_url)
        except BadInput as error:
            raise ConfigError(error.message, field=f"{where}.base_url", mend=error.mend) from error
    endpoint = Endpoint(
        name=name,
        http=http,
        base_url=spec.base_url,
        api_key=spec.api_key,
        api_version=spec.api_version,
        headers={header.lower(): value for header, value in spec.headers.items()},
        timeout=spec.timeout,
    )
    return ADAPTERS[spec.kind](endpoint) if preset is None else OpenAI(endpoint, preset)
