"""A configuration of NeMo Guardrails as a policy: what it becomes, and what it cannot become, said piece by piece.

``docs/flows.md`` has the table of what becomes what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from trimtab.core import BadInput

from .colang import Script, read_script
from .rails import Rails

State = Literal["converted", "changed", "not converted"]
#: Files of one folder that are looked at, and bytes of one of them.
MOST_FILES, LARGEST = 2000, 1 << 20
#: What NeMo's own library says under these names where a configuration does not say it.
_KNOWN = {
    "refuse to respond": "I'm sorry, I can't respond to that.",
    "inform answer unknown": "I don't know the answer to that.",
    "inform cannot answer": "I can't answer that.",
}
_READ = ("models", "instructions", "sample_conversation", "rails", "prompts", "streaming", "colang_version")
_CONFIGS = ("config.yml", "config.yaml", "prompts.yml", "prompts.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What became of one piece. ``changed`` pieces do the same work in another way, which ``how`` tells."""

    state: State
    where: str
    what: str
    how: str


@dataclass(kw_only=True)
class Conversion:
    """The content of a policy, the messages of a prompt (empty if there are none), and a note for every piece."""

    policy: dict[str, Any] = field(default_factory=dict)
    prompt: list[dict[str, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def note(self, state: State, where: str, what: str, how: str) -> None:
        """Say what became of a piece."""
        self.notes.append(Note(state=state, where=where, what=what, how=how))


def convert(folder: Path) -> Conversion:
    """Convert the folder of a configuration. Raises BadInput where it is none, or is written in Colang 2."""
    if not folder.is_dir():
        raise BadInput("is no folder", field=str(folder), mend="Name the folder that holds config.yml.")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())[:MOST_FILES]
    config: dict[str, Any] = {}
    for path in paths:
        if path.name in _CONFIGS or (path.suffix in (".yml", ".yaml") and path.parent == folder):
            config = _merged(config, _yaml(path, folder))
    scripts = [(path.relative_to(folder).as_posix(), _text(path)) for path in paths if path.suffix == ".co"]
    if not config and not scripts:
        raise BadInput("holds neither config.yml nor a Colang file", field=str(folder), mend="Name another folder.")
    if str(config.get("colang_version", "1.0")).startswith("2"):
        mend = "Only Colang 1.0 can be converted; write the flows anew, they are short."
        raise BadInput("is written in Colang 2", field="colang_version", mend=mend)
    made = Conversion()
    script = read_script(scripts)
    rails = Rails(config, script, made.note)
    stages = rails.stages()
    flows = _flows(script, config, made, rails.said)
    made.policy = {"stages": stages, **({"flows": flows} if flows else {}), **rails.more, "fail": "closed"}
    _settings(config, made)
    for unread in script.unread:
        made.note("not converted", unread.where, unread.what, unread.why)
    for name, block in script.subflows.items():
        if name not in rails.used:
            made.note(
                "not converted", block.file, f"subflow {name}", "no rail uses it; flows that do it have it inline"
            )
    _other_files(paths, folder, made)
    return made


def _flows(script: Script, config: Mapping[str, Any], made: Conversion, ruled: set[str]) -> dict[str, Any]:
    """The flows of the policy, as a policy writes them. ``ruled`` are messages that rules say."""
    dialogue: list[dict[str, Any]] = []
    answers: dict[str, list[str]] = {name: texts for name, texts in script.bots.items() if texts}
    said: set[str] = set()
    for name, where, steps in script.flows:
        dialogue.append({"name": _free(name, dialogue), "steps": _spoken(steps, answers, said)})
        made.note("converted", where, f"flow {name}", f"flows.dialogue, {len(steps)} steps")
    for name in sorted(said):
        if name in answers:
            continue
        made.note("changed", "", f"bot {name}", "it has no text: the model answers and is told to do it")
    intents = {}
    for name, texts in script.users.items():
        intents[name] = texts or [name]
        state: State = "converted" if texts else "changed"
        how = f"flows.intents, {len(texts)} examples" if texts else "no examples: its name serves as one"
        made.note(state, "", f"user {name}", how)
    used = {name: texts for name, texts in answers.items() if name in said}
    for name, texts in answers.items():
        if name in said:
            made.note("converted", "", f"bot {name}", f"flows.answers, {len(texts)} texts")
        elif name in ruled:
            made.note("converted", "", f"bot {name}", "the message of a rule")
        elif name in script.bots:
            made.note("not converted", "", f"bot {name}", "no flow that was converted says it")
    if not dialogue:
        for name in intents:
            made.note("not converted", "", f"user {name}", "no flow was converted, so no intent is asked for")
        return {}
    match = _matching(config, made)
    return {"intents": intents, "answers": used, "dialogue": dialogue, **({"match": match} if match else {})}


def _spoken(steps: Sequence[Mapping[str, Any]], answers: dict[str, list[str]], said: set[str]) -> list[dict[str, Any]]:
    """Steps with each ``bot`` as a canned answer, or as an instruction for the model where it has no text."""
    out: list[dict[str, Any]] = []
    for step in steps:
        if "bot" in step:
            name = step["bot"]
            said.add(name)
            if name not in answers and name in _KNOWN:
                answers[name] = [_KNOWN[name]]
            out.append({"say": name} if name in answers else {"model": name})
        elif "when" in step:
            cases = {case: _spoken(inner, answers, said) for case, inner in step["when"].items()}
            rest = {"else": _spoken(step["else"], answers, said)} if "else" in step else {}
            out.append({"when": cases, **rest})
        else:
            out.append(dict(step))
    return out


def _matching(config: Mapping[str, Any], made: Conversion) -> dict[str, Any]:
    """How messages are recognised."""
    settings = _inner(config, "rails", "dialog", "user_messages")
    near = settings.get("embeddings_only_similarity_threshold")
    found: dict[str, Any] = {}
    for model in _models(config):
        if model.get("type") == "embeddings" and model.get("model"):
            found["model"] = f"{model.get('engine', 'openai')}/{model['model']}"
            made.note("converted", "config.yml", "models: embeddings", f"flows.match.model {found['model']}")
    if isinstance(near, int | float) and 0 <= near <= 1:
        found["near"] = float(near)
        made.note("converted", "config.yml", "embeddings_only_similarity_threshold", "flows.match.near")
    if settings.get("embeddings_only_fallback_intent"):
        made.note("not converted", "config.yml", "embeddings_only_fallback_intent", "write flows.topics for the rest")
    if "model" not in found:
        how = "by the words of the examples; name flows.match.model to compare embeddings"
        made.note("changed", "", "matching of intents", how)
    return found


def _settings(config: Mapping[str, Any], made: Conversion) -> None:
    """Models, instructions, and every key that nothing here stands for."""
    for model in _models(config):
        if model.get("type") == "main":
            name = f"{model.get('engine')}/{model.get('model')}"
            made.note("not converted", "config.yml", f"models: main {name}", "name it as the target of a route")
    for item in config.get("instructions") or ():
        if isinstance(item, Mapping) and isinstance(item.get("content"), str):
            made.prompt.append({"role": "system", "content": item["content"].strip()})
            made.note("converted", "config.yml", f"instructions: {item.get('type')}", "a prompt with a system message")
    if config.get("sample_conversation"):
        why = "it teaches a model to write canonical forms, which no model does here"
        made.note("not converted", "config.yml", "sample_conversation", why)
    if config.get("streaming"):
        made.note("converted", "config.yml", "streaming", "the client says for each request whether it streams")
    for key in config:
        if key not in _READ:
            made.note("not converted", "config.yml", str(key), "a policy has nothing like it")


def _other_files(paths: Sequence[Path], folder: Path, made: Conversion) -> None:
    kept = [path.relative_to(folder).as_posix() for path in paths if "kb" in path.relative_to(folder).parts[:-1]]
    if kept:
        made.note("not converted", "kb", f"{len(kept)} documents", "build a corpus of them, and name it in the prompt")
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".py" and path.name != "__init__.py":
            made.note(
                "not converted", name, "Python code", "a policy runs no code of its own; write a scanner or a tool"
            )


def _models(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in config.get("models") or () if isinstance(each, Mapping)]


def _inner(config: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    found: Any = config
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _free(name: str, dialogue: Sequence[Mapping[str, Any]]) -> str:
    """A name that no flow has yet."""
    taken, number, free = {each["name"] for each in dialogue}, 2, name
    while free in taken:
        free, number = f"{name} {number}", number + 1
    return free


def _merged(one: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two files as one: lists one after the other, the rest from the later file."""
    merged = dict(one)
    for key, value in other.items():
        both = isinstance(merged.get(key), list) and isinstance(value, list)
        merged[key] = [*merged[key], *value] if both else value
    return merged


def _yaml(path: Path, folder: Path) -> Mapping[str, Any]:
    name = path.relative_to(folder).as_posix()
    try:
        found = YAML(typ="safe").load(_text(path))
    except YAMLError as error:
        raise BadInput(f"is not YAML: {str(error).splitlines()[0]}", field=name, mend="Mend the file.") from None
    return found if isinstance(found, Mapping) else {}


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST:
        raise BadInput(f"is over {LARGEST >> 20} MiB", field=path.name, mend="Split it.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput("is not UTF-8", field=path.name, mend="Save it as UTF-8.") from None
