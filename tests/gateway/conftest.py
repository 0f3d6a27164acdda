"""The gateway's tests get a real house on a scratch folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_house import DOCUMENTS, PROMPT, ROUTE, VENDOR_KEY, House, Vendor, no_wait

from trimtab.gateway import Gateway, Keys
from trimtab.guard import DEFAULT_POLICY
from trimtab.knowledge import Corpora
from trimtab.providers import HttpClient, Providers, ProviderSpec, Scripted
from trimtab.registry import Registry
from trimtab.store import Blobs, Metadata, SpanStore
from trimtab.traces import Recorder


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    metadata = Metadata.open(tmp_path / "metadata.db")
    spans = SpanStore.open(tmp_path / "spans")
    registry = await Registry.load(metadata)
    keys = await Keys.load(metadata)
    http = HttpClient()
    vendor = Vendor()
    await vendor.start()
    scripted = Scripted(sleep=no_wait)
    specs = {"vendor": ProviderSpec(kind="openai", base_url=f"http://127.0.0.1:{vendor.port}/v1", api_key=VENDOR_KEY)}
    corpora = Corpora(registry, Blobs(metadata))
    recorder = Recorder(spans)
    gateway = Gateway(
        registry=registry,
        keys=keys,
        corpora=corpora,
        providers=Providers(specs, http=http, scripted=scripted),
        recorder=recorder,
    )
    key, secret = await keys.create("app")
    _, admin = await keys.create("root", role="admin")
    made = House(
        metadata=metadata, registry=registry, keys=keys, corpora=corpora, http=http, scripted=scripted, spans=spans,
        recorder=recorder, gateway=gateway, vendor=vendor, key=key, secret=secret, admin=admin,
    )  # fmt: skip
    await made.publish("routes", "plain", ROUTE)
    await made.publish("routes", "support", {**ROUTE, "prompt": "prompts:/support-answer@production"})
    await made.publish("prompts", "support-answer", PROMPT)
    await made.publish("guards", "default", DEFAULT_POLICY)
    corpus = await corpora.build("docs", DOCUMENTS, author="test")
    await registry.move_label("corpora", "docs", "production", corpus.number, actor="test")
    yield made
    await http.close()
    await vendor.stop()
    spans.close()
    metadata.close()
