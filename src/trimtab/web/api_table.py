"""The control API in one table: what each address does, what it is asked and told.

A line is method, path, what it does, query and body. Query and body list names with a type: ``s`` text, ``i`` whole
number, ``n`` number, ``b`` true or false, ``o`` object, ``a`` list; ``!`` marks what must be there. A body of ``*`` is
an object whose fields stand in the documentation. A test demands that this table and the routes are the same.
"""

from __future__ import annotations

from typing import NamedTuple

_LIMITS = "rpm:i tpm:i max_parallel:i max_queue:i queue_timeout:n budget_usd:n period:s"
_WHO = "actor:s note:s"
_MONITOR = "signal:s owner:s action:s severity:i runbook:s project:s slice:s detector:s threshold:n objective:n " + _WHO
_QUERY = (
    "q:s since:s until:s since_ns:i until_ns:i roots:b filters:a text:s limit:i cursor:s by:a measures:a order:s"
    " compare:s"
)


class Line(NamedTuple):
    """One operation."""

    method: str
    path: str
    summary: str
    query: str = ""
    body: str = ""


TABLE: tuple[Line, ...] = (
    # The registry
    Line("GET", "/api/versions/{kind}", "The names of a kind of asset."),
    Line("GET", "/api/versions/{kind}/{name}", "The versions of an asset, newest first.", "limit:i cursor:s"),
    Line(
        "POST", "/api/versions/{kind}/{name}", "Register a new version.", "",
        "content:o! author:s note:s label:s override:s parents:a needs:o",
    ),
    Line("GET", "/api/versions/{kind}/{name}/{number}", "One version with its content."),
    Line("GET", "/api/versions/{kind}/{name}/diff", "The difference between two versions.", "from:s! to:s!"),
    Line("GET", "/api/resolve", "Which version an address means now.", "address:s! key:s user:s request:s"),
    Line("GET", "/api/labels", "The labels of an asset.", "kind:s! name:s!"),
    Line(
        "POST", "/api/labels", "Move a label to a version.", "",
        "kind:s! name:s! number:i! label:s expect:i override:s " + _WHO,
    ),
    Line("GET", "/api/labels/{kind}/{name}/{label}/protection", "What protects a label."),
    Line("PUT", "/api/labels/{kind}/{name}/{label}/protection", "Protect a label.", "", "role:s gate:s " + _WHO),
    Line(
        "GET", "/api/changes", "The ledger of changes, newest first.",
        "kind:s name:s label:s group:s limit:i cursor:s",
    ),
    Line(
        "POST", "/api/changes", "Record a change that happened elsewhere.", "",
        "kind:s name:s before:s after:s share:n layer:s " + _WHO,
    ),
    Line("POST", "/api/changes/{id}/undo", "Take a change back.", "", _WHO),
    Line(
        "POST", "/api/rollback", "Put labels back to where they were.", "",
        "kind:s name:s label:s at:s dry_run:b " + _WHO,
    ),
    Line("GET", "/api/gates", "What gates said of a version.", "address:s!"),
    Line(
        "POST", "/api/gates", "Record what a gate said of a version.", "",
        "address:s! gate:s! passed:b! evidence:o actor:s",
    ),
    # Rollouts
    Line("GET", "/api/rollouts", "Rollouts, newest first.", "running:b limit:i"),
    Line(
        "POST", "/api/rollouts", "Start a rollout.", "",
        "kind:s! name:s! number:i! share:n stages:a mode:s sticky:s label:s guards:a least_s:n least_answers:i"
        " holdback:n hold_s:n alpha:n beta:n shadow_answers:i shadow_usd:n every_answer:b override:s " + _WHO,
    ),
    Line("GET", "/api/rollouts/{id}", "One rollout with its evidence."),
    Line("POST", "/api/rollouts/{id}/{step}", "Move a rollout on.", "", "share:n reason:s override:s " + _WHO),
    Line("POST", "/api/prompts/{name}/test", "Run a prompt's tests, or estimate their price.", "", "*"),
    # The gateway
    Line("GET", "/api/keys", "The keys; never their secrets.", "limit:i"),
    Line("POST", "/api/keys", "Make a key; its secret is in the answer, this once.", "",
         "name:s! owner:s team:s role:s expires_ns:i routes:a " + _LIMITS),
    Line("GET", "/api/keys/{id}", "One key."),
    Line("PATCH", "/api/keys/{id}", "Change a key.", "",
         "name:s owner:s team:s role:s expires_ns:i disabled:b routes:a " + _LIMITS),
    Line("POST", "/api/keys/{id}/disable", "Disable a key."),
    Line("POST", "/api/keys/{id}/rotate", "Give a key a new secret beside the old one.", "", "overlap_s:n"),
    Line("GET", "/api/keys/{id}/usage", "What a key has used.", "since_ns:i until_ns:i"),
    Line("GET", "/api/teams", "The teams with their limits."),
    Line("PUT", "/api/teams/{name}", "Set a team's limits.", "", _LIMITS),
    Line("DELETE", "/api/teams/{name}", "Remove a team."),
    Line("GET", "/api/teams/{name}/usage", "What a team has used.", "since_ns:i until_ns:i"),
    Line(
        "GET", "/api/usage", "Use and cost, grouped.",
        "by:s since_ns:i until_ns:i key:s team:s route:s model:s limit:i",
    ),
    Line("GET", "/api/refusals", "What was refused, newest first.", "key:s team:s route:s code:s limit:i cursor:s"),
    Line("GET", "/api/refusals/{id}", "Why a request was refused."),
    # Traces
    Line("GET", "/api/traces", "Traces, newest first.", "q:s since:s until:s filter:s limit:i cursor:s"),
    Line("GET", "/api/traces/export", "Traces as a file.", "format:s q:s since:s until:s filter:s limit:i cursor:s"),
    Line("GET", "/api/traces/{id}", "One trace with its spans and scores."),
    Line("POST", "/api/traces/{id}/case", "Keep a trace as a regression case.", "", "dataset:s expected:s " + _WHO),
    Line("POST", "/api/spans/query", "Spans, or numbers over groups of them.", "", _QUERY),
    Line("GET", "/api/spans/complete", "How a query may go on.", "q:s cursor:i"),
    Line("POST", "/api/scores", "Record scores.", "", "*"),
    Line("DELETE", "/api/users/{id}/data", "Delete one user's data.", "dry_run:b"),
    Line("GET", "/api/erasures", "Deletions on request, newest first."),
    Line("POST", "/api/erasures", "Delete what belongs to a user, a session or a tag.", "",
         "user:s session:s tag:s dry_run:b actor:s"),
    Line("GET", "/api/sampling", "What sampling keeps and drops."),
    # Evaluation
    Line("GET", "/api/evals/runs", "Evaluation runs, newest first.", "state:s name:s limit:i cursor:i"),
    Line("POST", "/api/evals/runs", "Start a run, or estimate it.", "", "*"),
    Line("GET", "/api/evals/runs/{id}", "One run with its rates.", "rates:b"),
    Line("DELETE", "/api/evals/runs/{id}", "Forget a run."),
    Line("POST", "/api/evals/runs/{id}/stop", "Stop a run.", "", "actor:s"),
    Line("POST", "/api/evals/runs/{id}/resume", "Go on with a run.", "", "max_cost_usd:n"),
    Line(
        "GET", "/api/evals/runs/{id}/results", "Answers and scores, worst first.",
        "failures:b case:s limit:i offset:i",
    ),
    Line("GET", "/api/evals/runs/{id}/junit", "The run as JUnit XML.",
         "baseline:s floor:n score:s labels:s method:s"),
    Line("GET", "/api/evals/runs/{id}/rate", "A pass rate, corrected for its judge.", "score:s labels:s method:s"),
    Line("GET", "/api/evals/runs/{id}/stability", "Where the noise of a run comes from.",
         "score:s embeddings:s same:n"),
    Line("POST", "/api/evals/runs/{id}/calibrate", "Calibrate a judge against labels.", "",
         "score:s labels:s test_share:n time_ns:i"),
    Line("POST", "/api/evals/runs/{id}/refine", "Ask for a better rubric.", "", "score:s labels:s model:s"),
    Line("POST", "/api/evals/runs/{id}/examples", "A judge's new version with experts' examples.", "",
         "score:s count:i labels:s test_share:n note:s actor:s"),
    Line("GET", "/api/evals/live", "The scorers of live traffic: rates, shares, spending.", "hours:i project:s"),
    Line("GET", "/api/evals/compare", "Two runs, paired by case.", "new:s! old:s! score:s points:b"),
    Line("GET", "/api/evals/gate", "Pass, fail or cannot tell.",
         "run:s! baseline:s score:s floor:n max_drop:n alpha:n any_time:b labels:s method:s"),
    Line("GET", "/api/evals/datasets", "The datasets, of one kind if asked.", "kind:s limit:i"),
    Line("GET", "/api/evals/power", "What a run can find.", "cases:i repeats:i drop:n rate:n steadiness:n"),
    Line("GET", "/api/evals/judges/{name}", "A judge's calibrations and status.", "judge:s"),
    Line("GET", "/api/evals/labels", "The experts' labels.", "dataset:s! criterion:s"),
    Line("POST", "/api/evals/labels", "Add experts' labels.", "", "dataset:s! labels:a!"),
    # The guard
    Line("POST", "/api/guard/scan", "What a policy says of a text or a call.", "",
         "policy:s stage:s text:s messages:a source:s tool_call:o context:o"),
    Line("GET", "/api/guard/scanners", "The scanners."),
    Line("POST", "/api/guard/test", "Measure a policy: false blocks and recall.", "", "*"),
    Line("GET", "/api/guard/tests", "What policies stopped when they were measured.", "name:s number:i limit:i"),
    Line("POST", "/api/guard/wrong", "Say that a block was wrong.", "", "trace_id:s! " + _WHO),
    Line("GET", "/api/guard/pins", "Tools as they are pinned.", "scope:s tool:s changed:b limit:i"),
    Line("POST", "/api/guard/pins", "Pin the tools of a tool server.", "", "scope:s! tools:a!"),
    Line("POST", "/api/guard/pins/accept", "Accept a changed tool.", "", "scope:s! tool:s! actor:s"),
    Line("GET", "/api/approvals", "Calls that wait for a person.", "state:s limit:i"),
    Line("GET", "/api/approvals/{id}", "One call that waits."),
    Line("POST", "/api/approvals/{id}", "Approve or refuse a call.", "", "decision:s! note:s actor:s"),
    # Review
    Line("GET", "/api/review/queues", "The review queues with their standing."),
    Line("POST", "/api/review/queues", "Make a queue.", "", "*"),
    Line("GET", "/api/review/queues/{id}/next", "The next item of a reviewer, blind.", "who:s"),
    Line("POST", "/api/review/queues/{id}/marks", "Save or skip an item.", "", "*"),
    Line("POST", "/api/review/queues/{id}/undo", "Take the last mark back.", "", "who:s"),
    Line("POST", "/api/review/queues/{id}/finish", "End a batch; what was planted is shown.", "", "who:s"),
    Line("GET", "/api/review/queues/{id}/report", "Agreement, catch rates, disagreements."),
    Line("POST", "/api/review/queues/{id}/settle", "Settle a disagreement.", "", "*"),
    Line("POST", "/api/review/queues/{id}/close", "Close a queue."),
    # Incidents
    Line("GET", "/api/incidents", "Incidents, open ones first.", "state:s limit:i"),
    Line("GET", "/api/incidents/report", "How long steps took, where incidents come from.", "days:i"),
    Line("GET", "/api/incidents/{id}", "One incident."),
    Line("GET", "/api/incidents/{id}/postmortem", "The post-mortem, as Markdown."),
    Line("POST", "/api/incidents/{id}/acknowledge", "Say that you are on it.", "", "actor:s"),
    Line("POST", "/api/incidents/{id}/rollback", "Take the blamed change back.", "", "actor:s"),
    Line("POST", "/api/incidents/{id}/resolve", "Say that it is over.", "", "actor:s text:s!"),
    Line("POST", "/api/incidents/{id}/notes", "Add a line to the timeline.", "", "actor:s text:s!"),
    Line("POST", "/api/incidents/{id}/close", "Close it with its lesson.", "", "actor:s lesson:s! reason:s"),
    # Probes
    Line("GET", "/api/probes", "The probes: how each stands, when it runs next, what it spent."),
    Line("GET", "/api/probes/{name}", "One probe with its newest runs.", "limit:i"),
    Line("POST", "/api/probes/{name}/run", "Run a probe now.", "", "actor:s"),
    Line("POST", "/api/probes/{name}/accept", "Take the present state for usual.", "", "actor:s"),
    Line("GET", "/api/incidents/{id}/actions", "What can be done about it, and what cannot, with the reason."),
    Line("POST", "/api/incidents/{id}/actions", "Take an action.", "", "action:s! actor:s target:s to:s"),
    Line("POST", "/api/incidents/{id}/undo", "Take an action back.", "", "deed:s actor:s"),
    Line("POST", "/api/incidents/{id}/replay", "Allow replays to cost more.", "", "actor:s calls:i"),
    Line("GET", "/api/monitors", "The monitors and how they stand."),
    Line("POST", "/api/monitors", "Make a monitor.", "", "name:s! " + _MONITOR),
    Line("POST", "/api/monitors/test", "How often a monitor would have alarmed.", "", "name:s hours:n monitor:o"),
    Line("GET", "/api/monitors/{name}", "One monitor, with what falls it would see."),
    Line("PATCH", "/api/monitors/{name}", "Change a monitor.", "", _MONITOR),
    Line("DELETE", "/api/monitors/{name}", "Turn a monitor off.", "actor:s note:s"),
    Line("GET", "/api/channels", "How people are told of incidents."),
    Line("POST", "/api/channels/{name}/test", "Send a test by a channel."),
    Line("GET", "/api/notices", "The newest notices, and whether they arrived."),
)  # fmt: skip
