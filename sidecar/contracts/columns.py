"""The Parquet log: one row per decision and slot, with its reward. Types are Arrow's names.

Path: ``decisions/app=<name>/dt=<date of finalisation, UTC>/<partition>-<first position>.parquet``; a file
holds one stream partition and one date, is named by the position it starts from, and is never changed. Later
few compacted files stand for many of these: ``log_files`` says which count.
Beside it ``lessons/`` holds what was learnt of decisions before their horizon, ``late/`` rewards that joined
nothing, ``dead/`` entries that could not be learnt, ``versions/`` what was trained in which order, and
``catalogues/`` the arms by version.
"""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One column: its name, its Arrow type, whether it may be null, and what it means."""

    name: str
    type: str
    nullable: bool
    doc: str


DECISION_COLUMNS: tuple[Column, ...] = (
    Column("decision_id", "string", False, "unique per row and slot"),
    Column("slot", "int8", False, "of the decision, 0 first; the others are decisions among the arms left"),
    Column("session_id", "string", False, "the session that asked"),
    Column("unit_id", "string", False, "unit of randomisation"),
    Column("unit_bucket", "int16", False, "portable hash of unit_id, 0..1023"),
    Column("decided_at", "timestamp[us, UTC]", False, "when, by the service's clock"),
    Column("finalised_at", "timestamp[us, UTC]", False, "end of the horizon, by the store's clock"),
    Column("partition", "int16", False, "stream partition"),
    Column("position", "string", False, "stream id in that partition"),
    Column("source", "string", False, "model, pre_policy, fallback, import"),
    Column("policy", "string", False, "which policy was official"),
    Column("model_version", "int64", False, "weights that scored; 0 is cold or backstop"),
    Column("catalogue", "string", False, "catalogue version"),
    Column("arm", "string", False, "the arm shown"),
    Column("arm_index", "int32", False, "its place among the eligible arms"),
    Column("n_arms", "int32", False, "eligible arms"),
    Column("propensity", "float64", False, "probability of the shown arm, whole procedure"),
    Column("propensity_mc_n", "int32", True, "draws behind an estimated propensity"),
    Column("deterministic", "bool", False, "propensity is 1 by construction"),
    Column("learn", "bool", False, "was it trained on"),
    Column("reward", "float64", True, "aggregated; the default is a real value; null is missing"),
    Column("reward_source_n", "int16", False, "rewards merged into it; 0 means the default"),
    Column("reward_at", "timestamp[us, UTC]", True, "arrival of the first reward, by the store's clock"),
    Column("inclusion_probability", "float64", False, "probability that the row was kept"),
    Column("arms", "list<string>", False, "eligible arms in the order of the scores"),
    Column("scores", "list<float32>", True, "as served; null when nothing was scored"),
    Column("pmf", "list<float64>", True, "over the eligible arms; null when not known (imports)"),
    Column("context", "string", False, "context features as scored, JSON"),
    Column("event", "binary", False, "the decision event as stored: what replay decodes"),
    Column("mode", "string", True, "how its rewards were learnt: w wait, a assume, e earliest; null: w"),
    Column("activated", "bool", True, "false: deferred, and never activated: nobody saw it; null: true"),
    Column("expected", "float64", True, "reward expected of the shown arm; null: nobody asked, or knew"),
    Column("rank", "float64", True, "share of arms shown before that were scored no higher; null likewise"),
    Column(
        "segment", "string", True, "of the traffic: whose exploration it had; null: the application's own"
    ),
)

ADDED_COLUMNS = ("mode", "activated", "expected", "rank", "segment")
"""Of decisions: what files of earlier versions do not have. Their rows have null there."""

LESSON_COLUMNS: tuple[Column, ...] = (
    Column("decision_id", "string", False, "a decision may have several lessons, and has one row besides"),
    Column("kind", "string", False, "A assumed, C corrected by a reward, E learnt at the first reward"),
    Column("session_id", "string", False, "the session that asked"),
    Column("unit_id", "string", False, "unit of randomisation"),
    Column("unit_bucket", "int16", False, "portable hash of unit_id, 0..1023"),
    Column("decided_at", "timestamp[us, UTC]", False, "when, by the service's clock"),
    Column("at", "timestamp[us, UTC]", False, "of the lesson, by the store's clock"),
    Column("partition", "int16", False, "stream partition"),
    Column("position", "string", False, "stream id in that partition"),
    Column("learn", "bool", False, "was it trained on"),
    Column("reward", "float64", True, "as learnt; of C the difference that it makes; null is no number"),
    Column("reward_source_n", "int16", False, "rewards of the decision so far; 0 means the default"),
    Column("reward_key", "string", False, "of C: idempotency key of the reward that it is for"),
    Column("rewards", "binary", False, "the rewards so far as the entry holds them, msgpack"),
    Column("event", "binary", False, "the decision event as stored: what replay decodes"),
    Column("slot", "int8", True, "of the decision, as in decisions; null: 0"),
)

LATE_COLUMNS: tuple[Column, ...] = (
    Column("decision_id", "string", False, "the decision (or session) that was named"),
    Column("kind", "string", False, "L late, P orphan, O over the limit, X same key with another value"),
    Column("reward_key", "string", False, "idempotency key"),
    Column("at", "timestamp[us, UTC]", False, "arrival, by the store's clock"),
    Column("value", "float64", False, "as sent"),
    Column("event", "string", False, "view, purchase, …"),
    Column("arm", "string", False, "the arm named, or empty"),
    Column("partition", "int16", False, "stream partition"),
    Column("position", "string", False, "stream id in that partition"),
)

DEAD_COLUMNS: tuple[Column, ...] = (
    Column("position", "string", False, "stream id of the example in its partition"),
    Column("partition", "int16", False, "stream partition"),
    Column("finalised_at", "timestamp[us, UTC]", False, "when the example was made, by the store's clock"),
    Column("decision_id", "string", False, "as the entry names it; empty when it does not"),
    Column("kind", "string", False, "kind of the example: F final, …"),
    Column("reason", "string", False, "why it was not learnt"),
    Column("decision", "binary", False, "the decision as the entry holds it, readable or not"),
    Column("rewards", "binary", False, "its rewards as the entry holds them, msgpack"),
)

VERSION_COLUMNS: tuple[Column, ...] = (
    Column("version", "int64", False, "weights version"),
    Column("epoch", "int64", False, "learner epoch that published it"),
    Column("published_at", "timestamp[us, UTC]", False, "by the store's clock"),
    Column("examples", "int64", False, "examples trained so far"),
    Column(
        "batches", "list<struct<partition: int16, first: string, last: string>>", False, "in training order"
    ),
    Column("checksum", "string", False, "sha256 of the weights record"),
    Column("position", "string", False, "stream id of the version log"),
    Column(
        "base", "string", True, "id of the base that the batches were trained on; null: the version before"
    ),
    Column("shuffled", "list<bool>", True, "which batches were trained shuffled; null: none"),
)
