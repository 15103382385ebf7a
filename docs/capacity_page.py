"""Write the tables of ``docs/capacity.md`` from the code of ``sidearm capacity``; the text around is ours.

``python -m docs.capacity_page`` writes them, ``make fmt`` calls that, and ``tests/test_docs.py`` holds the
page against the code.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from decision_service.capacity.costs import Costs
from decision_service.capacity.showing import rows, size
from decision_service.capacity.sizing import Demand, need
from docs.settings_page import documentation

PAGE = Path(__file__).with_name("capacity.md")
EXAMPLES = tuple(Demand(decisions_per_s=rate, tombstone_s=7200.0) for rate in (1e3, 5e4, 1e6))

WAITS = (("2 s", 2.0), ("30 min", 1800.0), ("a day", 86_400.0), ("a week", 604_800.0))


def page() -> str:
    """The page as it is, with its tables as the code says."""
    text = PAGE.read_text()
    for name, table in (("costs", costs()), ("examples", examples()), ("memory", memory())):
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
        text = marks.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text)
    return text


def costs() -> str:
    """Every figure that the arithmetic begins with."""
    told, figures = documentation(Costs), msgspec.structs.asdict(Costs())
    lines = [f"| `{name}` | {value:,g} | {told[name]} |" for name, value in figures.items()]
    return "\n".join(["| figure | value | of what |", "|---|---|---|", *lines])


def examples() -> str:
    """The three of the page, side by side."""
    answers = [dict(row[:2] for row in rows(one, Costs(), need(one, Costs()))) for one in EXAMPLES]
    head = " | ".join(f"{one.decisions_per_s:,.0f}/s" for one in EXAMPLES)
    names = list(dict.fromkeys(name for answer in answers for name in answer))
    lines = [f"| {name} | " + " | ".join(answer.get(name, "") for answer in answers) + " |" for name in names]
    return "\n".join([f"| | {head} |", "|---|---|---|---|", *lines])


def memory() -> str:
    """Of the store, by horizon and by how long a closed decision is recognised: for 1,000 a second."""
    lines = [f"| {name} | {_held(waits_s, 7200.0)} | {_held(waits_s, 86_400.0)} |" for name, waits_s in WAITS]
    return "\n".join(["| horizon | `tombstone_s` 2 hours | a day |", "|---|---|---|", *lines])


def _held(horizon_s: float, tombstone_s: float) -> str:
    demand = Demand(decisions_per_s=1e3, horizon_s=horizon_s, tombstone_s=tombstone_s)
    return size(need(demand, Costs()).store_bytes)


if __name__ == "__main__":
    PAGE.write_text(page())
