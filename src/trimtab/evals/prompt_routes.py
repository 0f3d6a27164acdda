"""Prompt tests over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import BadInput

from .prompt_tests import PromptTests, plan_of


def prompt_routes(tests: PromptTests) -> list[Route]:
    """``POST /api/prompts/{name}/test``; with ``"estimate": true`` it says what a test would cost and asks nothing."""

    async def test(request: Request) -> Response:
        try:
            body = msgspec.json.decode(await request.body() or b"{}", type=dict)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"is not a JSON object: {error}.", field="body", mend="Send a JSON object.") from error
        plan = plan_of(request.path_params["name"], body)
        found = await (tests.estimate(plan) if body.get("estimate") is True else tests.run(plan))
        return Response(msgspec.json.encode(found), media_type="application/json")

    return [Route("/api/prompts/{name}/test", test, methods=["POST"])]
