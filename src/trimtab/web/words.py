"""Numbers, times and pins as people read them: the one place where a figure becomes text.

Rules: a true minus sign, thousands with commas, intervals as "0.66 to 0.75", money with two significant digits and in
cents below a dollar, durations in one unit, missing is a word and never zero.
"""

from __future__ import annotations

import math
from datetime import datetime, tzinfo

MINUS = "\N{MINUS SIGN}"
SECOND = 1_000_000_000


def _true_minus(text: str) -> str:
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def count(value: int | None) -> str:
    """A whole number with commas; None is "none"."""
    return "none" if value is None else _true_minus(f"{value:,d}")


def plural(n: int, word: str, many: str = "") -> str:
    """``1 answer``, ``1,138 answers``."""
    return f"{count(n)} {word if n == 1 else many or word + 's'}"


def fixed(value: float | None, digits: int = 2) -> str:
    """A figure with a fixed number of decimals; minus zero is zero, None is "none"."""
    if value is None:
        return "none"
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else _true_minus(text)


def signed(value: float | None, digits: int = 2) -> str:
    """A difference: always with its sign, zero without."""
    text = fixed(value, digits)
    return f"+{text}" if value is not None and value > 0 and float(text.replace(",", "")) > 0 else text


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """``0.66 to 0.75``; with more decimals where both ends would read the same."""
    if low is None or high is None:
        return "not measured"
    if fixed(low, digits) == fixed(high, digits) and low != high and digits < 4:
        return interval(low, high, digits + 1)
    return f"{fixed(low, digits)} to {fixed(high, digits)}"


def percent(share: float | None) -> str:
    """A share in [0, 1] as ``98 %``; one decimal below ten and close to a hundred."""
    if share is None:
        return "none"
    value = share * 100
    near_edge = abs(value) < 10 or 99 < value < 100
    return f"{fixed(value, 1 if near_edge and not float(value).is_integer() else 0)} %"


def _two_significant(value: float) -> str:
    rounded = round(value, 1 - math.floor(math.log10(value)))
    return f"{rounded:,.{max(0, 1 - math.floor(math.log10(rounded)))}f}"


def money(usd: float | None) -> str:
    """``$2.10``, ``$18``, ``0.14 ¢``; None is "unpriced", which is never zero."""
    if usd is None:
        return "unpriced"
    if usd <= 0:
        return "0 ¢"
    if round(usd, 4) < 0.995:
        return f"{cents(usd)} ¢"
    text = _two_significant(usd)
    return f"${text}0" if len(text) == 3 and text[1] == "." else f"${text}"


def cents(usd: float | None) -> str:
    """A sum in cents, without the unit; below a thousandth of a cent it says so."""
    if usd is None:
        return "unpriced"
    if usd <= 0:
        return "0"
    return "<0.001" if usd * 100 < 0.001 else _two_significant(usd * 100)


def dollars(usd: float | None) -> str:
    """A sum that is compared with another, to the cent: ``$99.98``; less than a cent as ``money`` has it."""
    return money(usd) if usd is None or usd < 0.01 else f"${usd:,.2f}"


def duration(seconds: float | None) -> str:
    """One unit: ``610 ms``, ``2.9 s``, ``38 min``, ``5 h``, ``4 d``."""
    if seconds is None:
        return "none"
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if seconds < 7170:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_000 else f"{seconds / 86400:.0f} d"


def span_of(start_ns: int, end_ns: int) -> str:
    """How long from one time to the other, in one unit."""
    return duration(max(0, end_ns - start_ns) / SECOND)


def ago(time_ns: int, now_ns: int) -> str:
    """``41 min ago``; under a second it is "just now"."""
    seconds = (now_ns - time_ns) / SECOND
    if seconds < 1:
        return "just now"
    return f"{seconds:.0f} s ago" if seconds < 119.5 else f"{duration(seconds)} ago"


def local(time_ns: int, zone: tzinfo | None = None) -> datetime:
    """Local time of the server, or of ``zone``."""
    return datetime.fromtimestamp(time_ns / SECOND, tz=zone).astimezone(zone)


def clock(time_ns: int, zone: tzinfo | None = None) -> str:
    """``02:34``."""
    return local(time_ns, zone).strftime("%H:%M")


def seconds_clock(time_ns: int, zone: tzinfo | None = None) -> str:
    """``02:34:08``."""
    return local(time_ns, zone).strftime("%H:%M:%S")


def day(time_ns: int, zone: tzinfo | None = None) -> str:
    """``24 Nov``."""
    when = local(time_ns, zone)
    return f"{when.day} {when:%b}"


def moment(time_ns: int, now_ns: int, zone: tzinfo | None = None) -> str:
    """``02:34`` within the same local day, else ``23 Nov 02:34``."""
    same = local(time_ns, zone).date() == local(now_ns, zone).date()
    return clock(time_ns, zone) if same else f"{day(time_ns, zone)} {clock(time_ns, zone)}"


def today(now_ns: int, zone: tzinfo | None = None) -> str:
    """``CET, Tue 24 Nov``: the zone is named once, here."""
    when = local(now_ns, zone)
    return f"{when.tzname()}, {when:%a} {when.day} {when:%b}"


_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def evidence(e_value: float) -> str:
    """An e-value: ``0.6``, ``520``, ``> 10⁶``."""
    if e_value >= 1e4:
        power = 308 if math.isinf(e_value) else math.floor(math.log10(e_value))
        return f"> 10{str(power).translate(_SUPERSCRIPT)}"
    return f"{e_value:,.0f}" if e_value >= 10 else f"{e_value:.1f}"


def needed(e_value: float) -> str:
    """What evidence an alarm takes: ``520``, ``1.6 × 10⁸``."""
    if e_value < 1e4:
        return f"{e_value:,.0f}"
    if math.isinf(e_value):
        return evidence(e_value)
    digits, _, power = f"{e_value:.1e}".partition("e")
    return f"{digits} × 10{str(int(power)).translate(_SUPERSCRIPT)}"


def pin(text: str) -> str:
    """A pin for people: ``support-answer v14``; a model pin as the vendor answered: ``simulated-steady-1 sim_a1``."""
    if not text:
        return "none"
    if "=" in text or "@" in text:
        reported, _, fingerprint = text.rpartition("=")[2].partition("@")
        return f"{reported} {fingerprint}".strip()
    name, _, number = text.rpartition("/")
    return f"{name} v{number}" if name and number.isdigit() else text


def version(text: str) -> str:
    """Only the version of a pin: ``v14``; the whole text where there is none."""
    name, _, number = text.rpartition("/")
    return f"v{number}" if name and number.isdigit() else pin(text)


def snippet(text: str, limit: int = 160) -> str:
    """The first characters of a text on one line, for lists."""
    flat = " ".join(text[: limit * 2].split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
