"""From what a node says to a feature of the context that is scored and logged.

Nodes are an application's own code and may say anything: what cannot be used is ``unusable``, and harms
neither the decision nor those beside it.
"""

from __future__ import annotations

from decision_service.api.values import MAX_MAGNITUDE
from feature_graph import Resolution, Status
from feature_graph.node import MISSING
from sidecar.contracts.application import FeatureValue

GIVEN = Status.GIVEN.value
OK = Status.OK.value
FALLBACK = Status.FALLBACK.value
WORDS = {status: status.value for status in Status}
"""Reading a member's value through its class costs more than this look-up."""
UNUSABLE = "unusable"
"""Outcome of a node whose value cannot be a feature."""

_MAX_TEXT = 1024


def feature(found: Resolution, node: str) -> tuple[str, FeatureValue | None]:
    """How the value of a context feature was had, and the value; None if there is none that can be one."""
    status, value = found.had(node)
    if value is None or value is MISSING:
        return found.outcomes[node].status.value, None
    one = usable(value)
    return (UNUSABLE, None) if one is None else (WORDS[status], one)


<<<<<<< HEAD
def usable(value: object) -> FeatureValue | None:
    """A value that can be a feature, of the plain type; None if it cannot."""
=======
def reasons(found: Resolution, rule: str) -> tuple[str, dict[str, str]]:
    """How a rule's value was had, and which arms it excludes why."""
    status, value = found.had(rule)
    if value is None or value is MISSING:
        return found.outcomes[rule].status.value, {}
    try:
        why = _reasons(value, rule)
    except Exception:  # an application's own type may raise anything
        why = None
    return (UNUSABLE, {}) if why is None else (_WORDS[status], why)


def _reasons(value: object, rule: str) -> dict[str, str] | None:
    if value.__class__ is dict and not value:
        return {}
    if isinstance(value, Mapping):
        told = {arm: _usable(reason) for arm, reason in value.items() if isinstance(arm, str)}
        return {arm: reason if isinstance(reason, str) and reason else rule for arm, reason in told.items()}
    if isinstance(value, set | frozenset | list | tuple):
        return {arm: rule for arm in value if isinstance(arm, str)}
    return None


Answers = tuple[tuple[str, tuple[str, ...]], ...]
"""Rules that answer at once, in the order in which they are heard, each with its arms, the best first."""


def answers(found: Resolution, rules: Sequence[str]) -> tuple[Answers, dict[str, str]]:
    """What answering rules say, without those that have no answer; and how each one's value was had."""
    said = {rule: _answer(found, rule) for rule in rules}
    heard = tuple([(rule, arms) for rule, (_, arms) in said.items() if arms])
    return heard, {rule: how for rule, (how, _) in said.items()}


def _answer(found: Resolution, rule: str) -> tuple[str, tuple[str, ...]]:
    status, value = found.had(rule)
    if value is None or value is MISSING:
        return found.outcomes[rule].status.value, ()
    try:
        arms = _answered(value)
    except Exception:  # an application's own type may raise anything
        arms = None
    return (UNUSABLE, ()) if arms is None else (_WORDS[status], arms)


def _answered(value: object) -> tuple[str, ...] | None:
    """The first of an order is the arm to show, so a set is no answer."""
    if isinstance(value, str):
        return (str.__str__(value),)
    if isinstance(value, list | tuple) and all(isinstance(arm, str) for arm in value):
        return tuple([str.__str__(arm) for arm in value])
    return None


class ArmFeatures(Struct, frozen=True):
    """Features of single arms, and how they were had."""

    columns: Columns
    outcomes: dict[str, str]
    """Node to how its values were had: ``unusable`` or ``fallback`` if some of them were had so."""
    by_arm: dict[str, Levels]
    """Node to how each arm's was had, where not all were had alike."""


NO_ARM_FEATURES = ArmFeatures({}, {}, {})


def arm_features(found: Resolution, nodes: Sequence[str], arms: Eligible) -> ArmFeatures:
    """The features of single arms that ``nodes`` give, but for those that the request gives itself."""
    if not nodes:
        return NO_ARM_FEATURES
    if found.whole and not arms.given and (plain := _plain_columns(found, nodes, len(arms.ids))) is not None:
        return plain
    table = _Table(len(arms.ids))
    outcomes: dict[str, str] = {}
    by_arm: dict[str, Levels] = {}
    for node in nodes:
        how, others = _fill(table, found, node)
        outcomes[node] = next((bad for bad in (UNUSABLE, FALLBACK) if bad in others.values()), how)
        if others:
            by_arm[node] = levels_of([others.get(place, how) for place in range(table.n_arms)])
    for place, arm_id in enumerate(arms.ids) if arms.given else ():
        table.leave_out(place, arms.given.get(arm_id, {}))
    columns = {name: column_of(values) for name, values in table.values.items()}
    return ArmFeatures({name: column for name, column in columns.items() if column}, outcomes, by_arm)


def _plain_columns(found: Resolution, nodes: Sequence[str], n_arms: int) -> ArmFeatures | None:
    """The same where every node says truth of every arm, or nothing, as most do; None where one does not."""
    columns: Columns = {}
    outcomes: dict[str, str] = {}
    for node in nodes:
        status, said = found.had(node)
        is_plain = said.__class__ is list and len(said) == n_arms
        if not is_plain or not _PLAIN.issuperset(map(type, said)):  # type: ignore[call-overload]
            return None
        column = column_of(said)  # type: ignore[arg-type]
        outcomes[node] = _WORDS[status]
        if column:
            columns[node] = column
    return ArmFeatures(columns, outcomes, {}) if len(nodes) <= MAX_FEATURES else None


def together(shared: ArmFeatures, own: ArmFeatures) -> ArmFeatures:
    """Both; where they have a feature in common the own one covers the shared one."""
    if shared is NO_ARM_FEATURES:
        return own
    columns = {**shared.columns, **own.columns}
    return ArmFeatures(columns, {**shared.outcomes, **own.outcomes}, {**shared.by_arm, **own.by_arm})


def exclusions(said: Mapping[str, tuple[str, dict[str, str]]]) -> tuple[dict[str, str], dict[str, str]]:
    """What rules exclude together, arm to reason, and how each was had; the first rule's reason counts."""
    excluded: dict[str, str] = {}
    for _, why in said.values():
        if why:
            excluded = {**why, **excluded}
    return excluded, {rule: how for rule, (how, _) in said.items()}


class _Table:
    """Feature name to a value for each arm."""

    def __init__(self, n_arms: int) -> None:
        self.n_arms = n_arms
        self.values: dict[str, list[FeatureValue | None]] = {}

    def put_column(self, name: str, values: Sequence[object]) -> bool:
        """Set the values of all arms, each a feature or None as it is; False if there is no room."""
        if name in self.values or len(self.values) >= MAX_FEATURES:
            return False
        self.values[name] = list(cast("Sequence[FeatureValue | None]", values))
        return True

    def put(self, name: str, place: int, value: object) -> bool:
        """Set one value; False if it cannot be a feature."""
        usable = _usable(value)
        if usable is None:
            return False
        if name not in self.values:
            if len(self.values) >= MAX_FEATURES:
                return False
            self.values[name] = [None] * self.n_arms
        self.values[name][place] = usable
        return True

    def put_all(self, place: int, value: Mapping[object, object]) -> bool:
        """Set the values of a mapping; False if one of them cannot be a feature."""
        usable = True
        for name, one in value.items():
            fits = isinstance(name, str) and 0 < len(name) <= _MAX_NAME and _text(name) is not None
            if not fits or (one is not None and not self.put(str.__str__(name), place, one)):
                usable = False
        return usable

    def leave_out(self, place: int, names: Mapping[str, object]) -> None:
        """Take back an arm's features of these names."""
        for name in names:
            if name in self.values:
                self.values[name][place] = None


def _fill(table: _Table, found: Resolution, node: str) -> tuple[str, dict[int, str]]:
    """Put what a node says into the table; how its values were had, and where one was had otherwise."""
    said = found.get(node, MISSING)
    if said is MISSING:
        return found.outcomes[node].status.value, {}
    values = _elements(said, table.n_arms)
    if values is None:
        return UNUSABLE, {}
    how, others = _words(found, node)
    if {value.__class__ for value in values} <= _PLAIN and table.put_column(node, values):
        return how, others
    for place, value in enumerate(values):
        if value is not None and not _put(table, node, place, value):
            others[place] = UNUSABLE
    if len(others) == table.n_arms and set(others.values()) == {UNUSABLE}:
        return UNUSABLE, {}
    return how, others


def _put(table: _Table, node: str, place: int, value: object) -> bool:
    if not isinstance(value, Mapping):
        return table.put(node, place, value)
    try:
        return table.put_all(place, value)
    except Exception:  # an application's own type may raise anything
        return False


def _elements(value: object, n_arms: int) -> Sequence[object] | None:
    """A value for each arm; None if that is not what it is."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return value if isinstance(value, list | tuple) and len(value) == n_arms else None


def _words(found: Resolution, node: str) -> tuple[str, dict[int, str]]:
    """How values were had, as the graph knows: an ``each`` tells which of its elements fell back."""
    if found.whole:
        return _WORDS[found.had(node)[0]], {}
    outcome, behind = found.outcomes[node], found.degraded(node)
    if not behind:
        return outcome.status.value, {}
    fallen = outcome.notes.get("fallback_at")
    if isinstance(fallen, tuple) and behind == (node,):
        return OK, dict.fromkeys(fallen, FALLBACK)
    return FALLBACK, {}


def _usable(value: object) -> FeatureValue | None:
>>>>>>> 8dbf0c1 (wip4)
    try:
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            return plain_text(str.__str__(value)) if len(value) <= _MAX_TEXT else None
        if isinstance(value, int | float) and -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
            return float(value)
    except Exception:  # an application's own type may raise anything
        return None
    return None


def plain_text(value: str) -> str | None:
    """Text of the plain type; None if UTF-8 has no form for it: it would fail its whole score call."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value
