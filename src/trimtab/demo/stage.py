"""The demo as a whole: a house on a scratch store, its server, the sample application, and the story on the screen."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trimtab.config import Config, Owners, ProviderSettings, Scoring, Watching
from trimtab.core import BadInput, ConfigError
from trimtab.incidents import Incident, IncidentEvent
from trimtab.web import Server, listen
from trimtab.wiring import House, build

from . import assets
from .faults import FAULTS
from .screen import Terminal
from .story import Outcome, learn, play
from .traffic import Traffic

LEARN_REQUESTS = 1000
BUSY_RATE, STORY_RATE, CALM_RATE = 150.0, 30.0, 12.0
#: Time for a person to open the page before something happens.
PAUSE_S = 20.0

OWNERS = Owners(
    default="Jonas Okafor, on call",
    model="Ines Duarte, models",
    knowledge="Ravi Menon, knowledge",
    prompt="Mara Lindqvist, prompts",
    safety="Jonas Okafor, safety",
    operations="Kim Sato, evaluation",
)
REAL = {
    "openai": ("openai", "", "OPENAI_API_KEY", "gpt-4o-mini", "gpt-4o"),
    "anthropic": ("anthropic", "", "ANTHROPIC_API_KEY", "claude-haiku-4-5", "claude-sonnet-4-5"),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asked for."""

    fault: str = "prompt"
    once: bool = False
    json: bool = False
    host: str = "127.0.0.1"
    port: int = 4100
    data: Path | None = None
    provider: str = ""
    model: str = ""


async def run(options: Options, env: Mapping[str, str]) -> Outcome:
    """Play the story; without ``once`` go on serving until interrupted. Raises BadInput and ConfigError."""
    logging.getLogger("trimtab").setLevel(logging.ERROR)
    screen = Terminal(json=options.json)
    try:
        async with _house(options, env) as (house, models):
            return await _tell(options, house, models, screen)
    finally:
        screen.close()


@asynccontextmanager
async def _house(options: Options, env: Mapping[str, str]) -> AsyncIterator[tuple[House, assets.Models]]:
    """A furnished house with a running server; a scratch folder goes when it closes."""
    models, providers = _models(options, env)
    listener = listen(options.host, 0 if options.once and options.port == 4100 else options.port)
    scratch = options.data is None
    data = options.data or Path(tempfile.mkdtemp(prefix="trimtab-demo-"))
    config = Config(
        host=options.host,
        port=listener.getsockname()[1],
        data=data,
        admin_key=env.get("TRIMTAB_ADMIN_KEY", ""),
        providers=providers,
        owners=OWNERS,
        scoring=Scoring(
            judge=f"judges:/{assets.JUDGE}@production",
            sample=1.0 if not options.provider else 0.2,
            golden=f"datasets:/{assets.GOLDEN}@production",
            golden_rate=0.5,
        ),
        watching=Watching(),
    )
    if not config.loopback and not config.admin_key:
        listener.close()
        raise ConfigError("an address that others can reach needs an admin key.", field="TRIMTAB_ADMIN_KEY")
    try:
        house = await build(config)
        server = Server(house, listener)
        try:
            await server.start()
            if "production" not in house.registry.labels("prompts", assets.PROMPT):
                await assets.furnish(house, models)
            yield house, models
        finally:
            await server.stop()
            await house.close()
    finally:
        listener.close()
        if scratch:
            await asyncio.to_thread(shutil.rmtree, data, ignore_errors=True)


async def _tell(options: Options, house: House, models: assets.Models, screen: Terminal) -> Outcome:
    url = (
        f"http://127.0.0.1:{house.config.port}"
        if house.config.loopback
        else f"http://{options.host}:{house.config.port}"
    )
    _, secret = await house.keys.create("sample application", owner="demo")
    screen.say("open", url)
    screen.say("key", f"{secret}  for any OpenAI client at {url}/v1, model name: support")
    screen.say(
        "models",
        f"{models.answer} answers, {models.judge} judges" + (", all simulated" if not options.provider else ""),
    )
    house.desk.on_event.append(lambda incident, event: _report(screen, incident, event))
    traffic = Traffic(base_url=url, key=secret, http=house.http, rate=BUSY_RATE if not options.provider else 2.0)
    running = asyncio.create_task(traffic.run())
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    story = asyncio.create_task(_story(options, house, traffic, models, screen))
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({story, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not story.done():
            return Outcome(fault=options.fault, ok=False)
        outcome = story.result()
        if not options.once:
            traffic.rate = CALM_RATE
            screen.say("serving", f"{url}  the application goes on asking; Ctrl-C stops it all")
            await stop.wait()
        return outcome
    finally:
        for task in (story, waiting, running):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(story, waiting, running, return_exceptions=True)


async def _story(options: Options, house: House, traffic: Traffic, models: assets.Models, screen: Terminal) -> Outcome:
    await learn(house, traffic, LEARN_REQUESTS, screen)
    screen.say("usual", f"the monitors know what is usual after {traffic.asked} requests")
    if not options.once:
        traffic.rate = STORY_RATE
        screen.say("next", f"a change goes out in {PAUSE_S:.0f} s; open the address above and watch the Stack")
        await asyncio.sleep(PAUSE_S)
    outcome = await play(house, traffic, FAULTS[options.fault], models, screen)
    for line in _summary(outcome):
        screen.say("done" if outcome.ok else "failed", line)
    return outcome


def _report(screen: Terminal, incident: Incident, event: IncidentEvent) -> None:
    screen.say(event.kind, f"#{incident.id} {event.text}")


def _summary(outcome: Outcome) -> list[str]:
    if outcome.fault == "none":
        return [f"{outcome.requests} requests after the mix shifted, {outcome.false_alarms} false alarms"]
    if outcome.seconds_to_rollback is None:
        return ["the loop did not answer the fault in time"]
    return [
        f"change -> alarm {outcome.seconds_to_alarm} s ({outcome.requests_to_alarm} requests)"
        f" -> verdict {outcome.seconds_to_verdict} s -> rollback {outcome.seconds_to_rollback} s",
        f"layer {outcome.layer}, {outcome.change}, {outcome.certainty}; {outcome.cases_added} cases added; "
        f"{outcome.bad_responses_after_rollback} bad answers after the rollback; {outcome.false_alarms} false alarms",
    ]


def _models(options: Options, env: Mapping[str, str]) -> tuple[assets.Models, dict[str, ProviderSettings]]:
    """The simulated models, or those of the provider that was asked for."""
    if not options.provider:
        return assets.Models(), {}
    if options.provider in REAL:
        kind, base_url, variable, model, reserve = REAL[options.provider]
        if variable not in env:
            raise ConfigError(f"{variable} is not set.", field="--provider", mend=f"Put your key into {variable}.")
        spec = ProviderSettings(kind=kind, base_url=base_url, api_key=env[variable])
    elif options.provider.startswith(("http://", "https://")):
        if not options.model:
            raise BadInput("an address alone names no model.", field="--model", mend="Add --model NAME.")
        spec = ProviderSettings(kind="openai", base_url=options.provider, api_key=env.get("OPENAI_API_KEY", ""))
        model = reserve = options.model
    else:
        raise BadInput(
            f"{options.provider!r} is no provider.",
            field="--provider",
            mend="Write openai, anthropic or an http address.",
        )
    model = options.model or model
    models = assets.Models()
    return replace(models, answer=f"real/{model}", reserve=f"real/{reserve}", judge=f"real/{model}"), {"real": spec}
