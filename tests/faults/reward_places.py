"""I3: where every reward ended, and that each answer tells the truth.

A reward that was joined is in its row, one that came after the horizon in the late log (L), one for a
decision that never came too (P): in one of them, once. What is too much for its decision (O), or contradicts
what came first (X), is kept for each attempt that was answered so; the store does not remember it, since its
memory is bounded.
"""

from __future__ import annotations

from collections import Counter

from tests.faults.customer import DIGIT, REWARD_KEYS, Violation, value_of


def check(sim, log) -> None:
    memory = sim.customer.memory
    joined = {row["decision_id"]: _digits(row) for row in log.rows}
    late = log.late
    asked_of = {i: asked for asked in memory.asked for i in asked.ids}
    for name, digits in joined.items():
        for key, (value, times) in digits.items():
            _allowed(memory, asked_of, name, key, value, times)
    for (kind, name, key, value), times in late.items():
        # The service repeats a call that had no reply, and nobody but the log knows of the first.
        hidden = sim.service_repeats and kind in ("O", "X")
        _allowed(memory, asked_of, name, key, value, min(times, 1) if hidden else times)
    for name, key in {(n, k) for _, n, k, _ in late} | {(n, k) for n, d in joined.items() for k in d}:
        _once(joined, late, name, key)
    for (name, key), attempts in memory.told.items():
        for told in attempts:
            if told.status:
                _kept(sim, asked_of.get(name), joined.get(name), late, name, key, told)


def _digits(row) -> dict[str, tuple[float, int]]:
    """Key to value and how often, from the sum in a row."""
    rest, found = round(row["reward"]), {}
    for number in range(REWARD_KEYS):
        rest, digit = divmod(rest, int(DIGIT))
        if digit:
            found[f"k{number}"] = (value_of(number, digit == 2), 1 if digit < 3 else 2)
    if rest or sum(times for _, times in found.values()) != row["reward_source_n"]:
        raise Violation(f"I3 the rewards of a row do not add up: {row}")
    return found


def _allowed(memory, asked_of, name, key, value, times) -> None:
    """Nothing is in the log that was not sent, nor more often than it was sent."""
    attempts = [told for told in memory.told.get((name, key), ()) if told.value == value]
    session = asked_of[name].session if name in asked_of else name
    sent = len(attempts) + memory.unanswered.get((session, key), 0)
    if times > sent:
        raise Violation(f"I3 reward {key}={value} of {name} is in the log {times} times, sent {sent} times")


def _once(joined, late, name, key) -> None:
    """In its row or late, never both, never twice."""
    values = [value_of(int(key[1:]), other) for other in (False, True)]
    in_row = joined.get(name, {}).get(key, (0.0, 0))[1]
    as_late = sum(late["L", name, key, value] for value in values)
    if in_row + as_late > 1:
        raise Violation(f"I3 reward {key} of {name}: {in_row} times in its row, {as_late} times late")


def _kept(sim, asked, digits, late, name, key, told) -> None:
    """The place that an answer promises."""
    value = told.value
    in_row = bool(digits) and key in digits and digits[key][0] == value
    orphan, is_late = late["P", name, key, value] > 0, late["L", name, key, value] > 0
    match told.status:
        case "OK":
            kept = in_row
        case "EARLY":
            kept = in_row or (orphan and not _came_in_time(sim, asked, name))
        case "LATE":
            kept = is_late and told.at_ms >= asked.first_ms + sim.horizon_ms
        case "OVER":
            kept = late["O", name, key, value] > 0
        case "UNKNOWN":
            kept = orphan
        case "DUP" | "SPOOLED":
            kept = in_row or orphan or is_late or late["X", name, key, value] > 0
            kept = kept or (told.status == "SPOOLED" and late["O", name, key, value] > 0)
    if not kept:
        places = {place: n for place, n in late.items() if place[1] == name}
        raise Violation(
            f"I3 {name} {key} {told}: not where it should be: row {digits}, late {places} {asked}"
        )


def _came_in_time(sim, asked, name) -> bool:
    """Whether the decision was there before its rewards were given up, beyond doubt."""
    if asked is None or asked.accepted != name:
        return False
    told = sim.customer.memory.told
    first_ms = min(t.at_ms for (of, _), attempts in told.items() if of == name for t in attempts)
    return asked.accepted_ms < first_ms + sim.early_ms


def counts(log) -> Counter:
    """How many rewards ended where."""
    found = Counter({"row": sum(row["reward_source_n"] for row in log.rows)})
    for (kind, *_), times in log.late.items():
        found[kind] += times
    return found
