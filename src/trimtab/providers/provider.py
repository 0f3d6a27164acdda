"""The providers that the configuration names, and the models behind ``provider/model``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab.core import BadInput, ConfigError, Model, NotFound

from .anthropic import Anthropic
from .http import HttpClient, target_of
from .openai import OpenAI
from .scripted import Scripted

KINDS = ("openai", "anthropic", "scripted")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """One provider: ``kind`` is openai, anthropic or scripted; the key never shows in ``repr``."""

    kind: str
    base_url: str = ""
    api_key: str = field(default="", repr=False)


class Providers:
    """Every provider by name. With ``scripted`` given there is always a provider ``scripted``."""

    def __init__(
        self, specs: Mapping[str, ProviderSpec], *, http: HttpClient, scripted: Scripted | None = None
    ) -> None:
        """Raises ConfigError naming the field when a spec is wrong."""
        self._providers: dict[str, OpenAI | Anthropic | Scripted] = {}
        for name, spec in specs.items():
            self._providers[name] = _provider(name, spec, http, scripted)
        if scripted is not None:
            self._providers.setdefault("scripted", scripted)

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


def _provider(
    name: str, spec: ProviderSpec, http: HttpClient, scripted: Scripted | None
) -> OpenAI | Anthropic | Scripted:
    where = f"providers.{name}"
    if not name or "/" in name:
        raise ConfigError(f"{name!r} cannot name a provider.", field=where, mend="Use a name without '/'.")
    if spec.kind == "scripted":
        if scripted is None:
            raise ConfigError("simulated models are not available here.", field=f"{where}.kind")
        return scripted
    if spec.kind not in KINDS:
        raise ConfigError(f"{spec.kind!r} is no kind of provider.", field=f"{where}.kind", mend=f"Use {KINDS}.")
    if spec.base_url:
        try:
            target_of(spec.base_url)
        except BadInput as error:
            raise ConfigError(error.message, field=f"{where}.base_url", mend=error.mend) from error
    made = OpenAI if spec.kind == "openai" else Anthropic
    return made(name, spec.base_url, spec.api_key, http)
