"""The long tail of vendors, through the LiteLLM SDK: the optional extra ``trimtab[litellm]``.

The SDK is imported when it is first asked, in a thread, because that takes seconds. It is told to use the prices it
brings along: otherwise its import fetches a file from the network.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from trimtab.config import tell_libraries
from trimtab.core import Call, Chunk, ConfigError, Model, ModelError, ModelTimeout

from .embeddings import EMBEDDINGS, embeddings_reply, embeddings_request
from .endpoint import Endpoint
from .estimate import COUNT, counted, estimate_tokens
from .openai import piece, whole
from .rejoin import refuse_foreign
from .vendor import mapping, number, redact, retryable


class LiteLLM:
    """Any model that the SDK knows, by the SDK's own name for it: ``PROVIDER/cohere/command-r``.

    ``sdk`` is the module to use; without it the installed one is imported. Raises ConfigError when there is none.
    """

    def __init__(self, endpoint: Endpoint, sdk: Any = None) -> None:
        self._endpoint = endpoint
        self._sdk = sdk

    def model(self, name: str) -> Model:
        """The model of that name; the SDK itself knows which names there are."""
        return functools.partial(self._answer, name)

    async def _answer(self, name: str, call: Call) -> AsyncIterator[Chunk]:
        native = call.native
        refuse_foreign(call, self._endpoint.name)
        if native is not None and native.dialect == COUNT:
            yield counted(estimate_tokens(call), estimated=True)
            return
        if native is not None and native.dialect == EMBEDDINGS:
            asked = embeddings_request(name, call, native)
            yield embeddings_reply(await self._ask("aembedding", call, asked))
            return
        # Kept for the chunks that no choice goes with: the SDK tells the usage in one.
        options = {"stream_options": {"include_usage": True}} if call.stream else {}
        asked = {**call.params, **options, "model": name, "messages": list(call.messages), "stream": call.stream}
        answer = await self._ask("acompletion", call, asked)
        if not call.stream:
            yield whole(answer)
            return
        hide = mapping(call.params.get("stream_options")).get("include_usage") is not True
        async for body in self._bodies(answer):
            yield piece(body, hide=hide and not body.get("choices") and bool(body.get("usage")))

    async def _ask(self, verb: str, call: Call, asked: Mapping[str, Any]) -> Any:
        """The SDK's answer: a body, or a stream of them."""
        sdk = await self._module()
        end = self._endpoint
        limit = min(call.timeout, end.timeout) if end.timeout else call.timeout
        settings: dict[str, Any] = {"timeout": limit, "num_retries": 0}
        settings |= {"api_key": end.api_key} if end.api_key else {}
        settings |= {"api_base": end.base_url} if end.base_url else {}
        settings |= {"api_version": end.api_version} if end.api_version else {}
        settings |= {"extra_headers": dict(end.headers)} if end.headers else {}
        try:
            async with asyncio.timeout(limit):
                answer = await getattr(sdk, verb)(**asked, **settings)
        except TimeoutError:
            raise ModelTimeout(f"{end.name} did not answer within {limit:g} s.") from None
        except Exception as error:  # house: except because the SDK's errors share no class with ours or each other
            raise self._failed(error) from None
        return answer if call.stream and verb == "acompletion" else answer.model_dump()

    async def _bodies(self, answer: Any) -> AsyncIterator[Mapping[str, Any]]:
        try:
            async for part in answer:
                yield {name: value for name, value in part.model_dump().items() if value is not None}
        except Exception as error:  # house: except because the SDK's errors share no class with ours or each other
            raise self._failed(error) from None
        finally:
            if close := getattr(answer, "aclose", None):
                await close()

    def _failed(self, error: Exception) -> ModelError:
        """What the SDK raised, in our words and without the key; it carries the vendor's status where there was one."""
        status = number(getattr(error, "status_code", 0))
        words = redact(str(error), self._endpoint.api_key) or type(error).__name__
        again = retryable(status) if status else True
        return ModelError(f"{self._endpoint.name}: {words}", vendor_status=status, retryable=again)

    async def _module(self) -> Any:
        if self._sdk is None:
            tell_libraries(LITELLM_LOCAL_MODEL_COST_MAP="True")
            try:
                sdk: Any = await asyncio.to_thread(importlib.import_module, "litellm")
            except ImportError:
                raise ConfigError(
                    "the LiteLLM SDK is not installed.",
                    field=f"providers.{self._endpoint.name}.kind",
                    mend="Install trimtab[litellm].",
                ) from None
            sdk.suppress_debug_info = True  # else it prints advice to standard output with every error
            self._sdk = sdk
        return self._sdk
