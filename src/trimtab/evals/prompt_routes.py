"""Prompt tests over HTTP. Errors are raised for the web layer."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.core import body_as

from .prompt_tests import PromptTests, plan_of


def prompt_routes(tests: PromptTests) -> list[Route]:
    """``POST /api/prompts/{name}/test``; with ``"estimate": true`` it says what a test would cost and asks nothing."""

    async def test(request: Request) -> Response:
        body = body_as(await request.body(), dict, mend="Send a JSON object.")
        plan = plan_of(request.path_params["name"], body)
        found = await (tests.estimate(plan) if body.get("estimate") is True else tests.run(plan))
        return Response(msgspec.json.encode(found), media_type="application/json")

    return [Route("/api/prompts/{name}/test", test, methods=["POST"])]
