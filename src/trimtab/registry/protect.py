"""Protected labels: who may move them, and which gate a version must have passed. Pure."""

from __future__ import annotations

from dataclasses import replace

from trimtab.core import BadInput, Forbidden

from .books import Books, May, Who
from .snapshot import Asset, Effect, Gate, Protection

#: The roles that a label may ask for.
ROLES = ("", "admin")
MIN_REASON = 10


def permit(books: Books, asset: Asset, label: str, number: int, may: May | None) -> str:
    """Whether a label may move onto a version; the answer is the reason that took the place of a passed gate.

    Without ``may`` the server itself moves it, which needs no role. Raises Forbidden, naming what is missing.
    """
    protection = _protection(books, asset, label)
    if protection is None:
        return ""
    permit_role(books, asset, label, may)
    if not protection.gate:
        return ""
    verdict = books.verdict(asset, number, protection.gate)
    if verdict is not None and verdict.passed:
        return ""
    if may is not None and may.override:
        if len(may.override.strip()) < MIN_REASON:
            raise BadInput(
                "is no reason.",
                field="override",
                mend=f"Write why the gate is passed over, {MIN_REASON} letters or more.",
            )
        return may.override.strip()
    pin = f"{asset[1]}/{number}"
    what = f"{pin} did not pass it" if verdict else f"there is no result of it for {pin}"
    raise Forbidden(
        f"{asset[0]}:/{asset[1]}@{label} is protected by the gate {protection.gate!r}, and {what}.",
        field="gate",
        mend="Pass the gate first, or give the reason for an override, which stays visible in the ledger.",
    )


def permit_role(books: Books, asset: Asset, label: str, may: May | None) -> None:
    """Moving back needs no gate, but the role. Raises Forbidden."""
    protection = _protection(books, asset, label)
    if protection is not None and protection.role and may is not None and may.role != protection.role:
        raise Forbidden(
            f"{asset[0]}:/{asset[1]}@{label} is protected: moving it needs the role {protection.role}.",
            field="role",
            mend="Do it with an admin key, or ask somebody who has one.",
        )


def protect(books: Books, protection: Protection, may: May | None) -> Effect:
    """Another protection for a label; one that asks for nothing takes it away. Raises Forbidden and BadInput.

    Where it is so already, there is no effect.
    """
    asset = (protection.kind, protection.name)
    books.now.standing(*asset)
    if protection.role not in ROLES:
        raise BadInput(f"{protection.role!r} is no role.", field="role", mend="Write admin, or leave it empty.")
    if may is not None and may.role != "admin":
        raise Forbidden("Protecting a label needs the role admin.", field="role", mend="Do it with an admin key.")
    found = _protection(books, asset, protection.label)
    if (protection.role, protection.gate) == ((found.role, found.gate) if found else ("", "")):
        return Effect()
    return Effect(protection=protection)


def record(books: Books, result: Gate, who: Who) -> Effect:
    """A gate's result for a version. Raises NotFound for the version."""
    books.now.entry(result.kind, result.name, result.number)
    return Effect(gate=replace(result, actor=who.actor, time_ns=who.time_ns))


def _protection(books: Books, asset: Asset, label: str) -> Protection | None:
    standing = books.now.assets.get(asset)
    return standing.protections.get(label) if standing else None
