"""Taking back: one change by its id, or everything to a moment in time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from trimtab.core import BadInput, Change, Conflict, NotFound

from .books import Books, May, Who
from .ledger import label_of, number_of, reachable
from .plans import abort, moved, refuse_while_running, set_share
from .protect import permit, permit_role
from .snapshot import Asset, Effect

GROUP = "grp"


def rewind(books: Books, at_ns: int, who: Who, *, new_id: Callable[[], str], group: str, may: May | None) -> Effect:
    """Every label of every asset back to where it stood at a moment, and every running rollout back to its share then.

    A rollout that began later is aborted. What did not exist then stays, and a rollout that has ended since is not
    started again; ``left`` says so. Raises BadInput for a moment to come and Conflict when there is nothing to do.
    """
    if at_ns >= who.time_ns:
        raise BadInput("That moment is still to come.", field="at", mend="Name a moment in the past.")
    effect = _rollouts(books, at_ns, who, new_id)
    for asset, label in books.moved_since(at_ns):
        stood, stands = books.stood_at(asset, label, at_ns), books.now.label(*asset, label)
        if stood == stands:
            continue
        if not stood:
            effect = effect.then(Effect(left=(f"{asset[0]}:/{asset[1]}@{label} did not exist then; it stays.",)))
            continue
        permit_role(books, asset, label, may)
        # Forth again after a rollback: a move of its own, so that a later rollback leads back from there.
        action = "rollback" if stood in reachable(books.history(asset, label), label) else "label"
        effect = effect.then(moved(asset, label, (stands, stood), who, change_id=new_id(), action=action))
    if not effect.changes:
        raise Conflict(
            "Nothing has moved since then. " + " ".join(effect.left), field="at", mend="Name an earlier moment."
        )
    return replace(effect, changes=tuple(replace(change, group=group) for change in effect.changes))


def _rollouts(books: Books, at_ns: int, who: Who, new_id: Callable[[], str]) -> Effect:
    effect = Effect()
    for rollout in sorted(books.now.running.values(), key=lambda rollout: rollout.id):
        if rollout.started_ns > at_ns:
            effect = effect.then(abort(books, rollout.id, who, change_id=new_id()))
        elif (share := books.share_at(rollout.id, at_ns)) is not None and share != rollout.share:
            effect = effect.then(set_share(books, rollout.id, share, who, change_id=new_id()))
    ended = (f"The rollout {name} was running then and has ended; it is not started again." for name in
             books.ended_since(at_ns))  # fmt: skip
    return effect.then(Effect(left=tuple(ended)))


def undo(books: Books, change_id: str, who: Who, *, new_id: Callable[[], str], may: May | None) -> Effect:
    """One change taken back, or all changes of a group. Raises NotFound, and Conflict when that cannot be done."""
    if not change_id.startswith(f"{GROUP}_"):
        change = books.change(change_id)
        if change is None:
            raise NotFound(f"There is no change {change_id[:100]!r}.", field="id", mend="The ledger lists their ids.")
        return _undone(books, change, who, new_id(), may)
    changes = books.group(change_id)
    if not changes:
        raise NotFound(f"There is no group {change_id[:100]!r}.", field="id", mend="The ledger lists the groups.")
    return _all_undone(books, changes, who, new_id, may)


def _all_undone(
    books: Books, changes: Sequence[Change], who: Who, new_id: Callable[[], str], may: May | None
) -> Effect:
    effect = Effect()
    for change in changes:
        try:
            effect = effect.then(_undone(books, change, who, new_id(), may))
        except Conflict as error:
            effect = effect.then(Effect(left=(error.message,)))
    if not effect.changes:
        raise Conflict("Nothing of it can be undone. " + " ".join(effect.left), field="id", mend="Move what you want.")
    group = f"{GROUP}_{new_id().partition('_')[2]}"
    return replace(effect, changes=tuple(replace(change, group=group) for change in effect.changes))


def _undone(books: Books, change: Change, who: Who, new_id: str, may: May | None) -> Effect:
    who = replace(who, note=who.note or f"undo of {change.id}")
    if change.action == "external":
        raise Conflict(f"{change.id} was made outside of Trimtab.", field="id", mend="Take it back where it was made.")
    if change.rollout and change.action != "promote":
        return _rollout_undone(books, change, who, new_id, may)
    asset, label = (change.kind, change.name), label_of(change)
    stood, stands = number_of(change.before), books.now.label(*asset, label)
    if stands != number_of(change.after):
        raise Conflict(
            f"{change.asset}@{label} has moved on to {change.name}/{stands} since {change.id}.",
            field="id",
            mend="Undo the later change first, or move the label to the version you want.",
        )
    if not stood:
        raise Conflict(
            f"Before {change.id} there was no {change.asset}@{label}.", field="id", mend="Move it elsewhere."
        )
    refuse_while_running(books.now, asset, label)
    return _moved_back(books, asset, label, change, who, new_id=new_id, may=may)


def _moved_back(
    books: Books, asset: Asset, label: str, change: Change, who: Who, *, new_id: str, may: May | None
) -> Effect:
    numbers = (number_of(change.after), number_of(change.before))
    if change.action == "rollback":
        # Forth again, onto what was rolled back: that needs what every move onto a protected label needs.
        override = permit(books, asset, label, numbers[1], may)
        return moved(asset, label, numbers, who, change_id=new_id, action="label", override=override)
    permit_role(books, asset, label, may)
    return moved(asset, label, numbers, who, change_id=new_id, action="rollback")


def _rollout_undone(books: Books, change: Change, who: Who, new_id: str, may: May | None) -> Effect:
    rollout = books.now.rollouts.get(change.rollout)
    if rollout is None or rollout.state != "running" or change.action not in ("rollout", "share"):
        raise Conflict(f"The rollout {change.rollout} has ended.", field="id", mend="Start a new rollout.")
    permit_role(books, (change.kind, change.name), rollout.label, may)
    if change.action == "rollout":
        return abort(books, rollout.id, who, change_id=new_id)
    if rollout.share != change.share:
        raise Conflict(f"The share has moved on since {change.id}.", field="id", mend="Set the share that you want.")
    share = books.share_at(rollout.id, change.time_ns - 1)
    if share is None:
        raise Conflict(f"The share before {change.id} is not known.", field="id", mend="Set the share that you want.")
    return set_share(books, rollout.id, share, who, change_id=new_id)
