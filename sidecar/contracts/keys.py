"""Every key in the store and every expiry, with its reason. No other file spells a key.

All keys of one partition carry the Redis Cluster hash tag ``{app.p}``, so that a script may touch any of
them in one step; keys of the application as a whole carry ``{app}``. Nothing that has not been logged yet
ever has an expiry.

==================  ======  ======================  ====================================================
key                 type    life                    content
==================  ======  ======================  ====================================================
``d:<id>``          string  none while pending,     ``deadline_ms[a|e][d]|payload``: a mode that is not to
                            then the retention      wait, d while deferred
``r:<id>``          hash    none until joined,      reward key to ``at_ms|value|client_ms|event|arm``;
                            then the tombstone      a late one has ``L`` in front
``s:<session>``     hash    horizon + tombstone     the session's decisions, see :meth:`Keys.session`
``f:<bucket>``      intset  tombstone               62-bit hashes of finalised decisions
``due``             zset    –                       pending decision to deadline
``orph``            zset    –                       decision that never came to the end of its rewards' wait
``ex``              stream  trimmed behind readers  finalised decisions with their raw rewards; what is taught
                                                    before that
``late``            stream  trimmed behind archive  rewards that joined nothing
``dead``            stream  –                       entries of ``ex`` that could not be learnt, and why
``c``               hash    –                       exact counters, and the clock guard
``lease``           string  a minute past its end   ``holder|until_ms``: the joiner that works here
``mark``            string  a minute                written by who waits until replicas have the rest
``skew``            string  tests only              milliseconds that the scripts add to the store's time
==================  ======  ======================  ====================================================

A table of features has keys of its own, see :class:`FeatureKeys`: nothing else is ever in one step with them,
so their tags, ``{app.f.table}`` and ``{app.f.table.slot}``, spread tables and their parts over a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sidecar.contracts.ids import fresh_tombstone, tombstone

ANSWER_RETENTION_MS = 3_600_000
"""How long a finalised decision can still be repeated and looked at, by default: an hour, since a client
retries within minutes, and a kilobyte for each decision of a day would be the store's largest part."""


class Keys(NamedTuple):
    """The keys of one partition of one application."""

    app: str
    partition: int

    def decision(self, decision_id: str) -> str:
        """A decision's payload. No expiry while pending; :func:`answer_ttl_ms` after it was finalised."""
        return self._key(f"d:{decision_id}")

    def rewards(self, decision_id: str) -> str:
        """A decision's rewards by their idempotency key. Also the memory of late and repeated ones."""
        return self._key(f"r:{decision_id}")

    def session(self, session_id: str) -> str:
        """What a session decided: repeats and rewards by session are resolved here.

        Fields: ``last`` decision id; ``d:<decision id>`` arm; ``k:<client's decision key>``
        ``decision id|digest``; ``w:<reward key>`` the decision that a reward by session went to, so that its
        retry reaches the same one although the session has gone on (empty: nobody, it was unknown; several
        with commas between them); ``a:<arm>`` the last decision that showed it, where rewards go by arm;
        ``t:<what was asked>`` ``decision id|at_ms`` of the decision that the session keeps.
        """
        return self._key(f"s:{session_id}")

    def finalised(self, decision_id: str) -> str:
        """The set in which a finalised decision's tombstone lies."""
        return self._key(f"f:{tombstone(decision_id)[0]}")

    def closing(self, decision_id: str) -> tuple[str, str, str, str]:
        """Keys of a decision, its rewards and its tombstone, and the member there: asked for by the thousand.

        Raises:
            BadId: it is none of ours.
        """
        (bucket, member), begin = tombstone(decision_id), self._key("")
        return f"{begin}d:{decision_id}", f"{begin}r:{decision_id}", f"{begin}f:{bucket}", member

    def logging(self, new: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
        """For ``decide.lua``, of new decisions by id and session: its keys in order; members of tombstones.

        Raises:
            BadId: one is none of ours.
        """
        begin, members = self._key(""), []
        keys = [begin + name for name in ("due", "orph", "ex", "c", "skew")]
        for i, session_id in new:
            bucket, member = fresh_tombstone(i)
            keys += (f"{begin}d:{i}", f"{begin}r:{i}", f"{begin}s:{session_id}", f"{begin}f:{bucket}")
            members.append(member)
        return keys, members

    @property
    def due(self) -> str:
        """Pending decisions by deadline, in milliseconds of the store's clock."""
        return self._key("due")

    @property
    def orphans(self) -> str:
        """Decisions that have rewards but have not arrived, by when their rewards are given up."""
        return self._key("orph")

    @property
    def examples(self) -> str:
        """Finalised decisions. Trimmed by whoever knows the slower of trainer and archiver; never here."""
        return self._key("ex")

    @property
    def late(self) -> str:
        """Rewards that joined nothing: late, orphan, over the limit, contradicting."""
        return self._key("late")

    @property
    def dead(self) -> str:
        """Entries of the example stream that could not be decoded or learnt, each under its own position."""
        return self._key("dead")

    @property
    def counters(self) -> str:
        """Counters of the books, changed by the scripts only."""
        return self._key("c")

    @property
    def lease(self) -> str:
        """Which joiner closes this partition's decisions. It saves work and guards nothing."""
        return self._key("lease")

    @property
    def skew(self) -> str:
        """Set by tests to move the store's time; absent in production."""
        return self._key("skew")

    def _key(self, name: str) -> str:
        return f"{{{self.app}.{self.partition}}}:{name}"


class FeatureKeys(NamedTuple):
    """The keys of one table of features of one application.

    ===================  ======  =====================  ====================================================
    key                  type    life                   content
    ===================  ======  =====================  ====================================================
    ``record``           string  the table's ttl        which generation is read: ``feature_table.py``
    ``loading``          hash    while a load goes on   its generation, what it loads, and how far it came
    ``rows:<generation>`` hash   the table's ttl; a     a row's key to its bytes, one hash a slot
                                 minute when replaced
    ===================  ======  =====================  ====================================================
    """

    app: str
    table: str

    @property
    def record(self) -> str:
        """Replaced as a whole when a generation is complete: that is the step from old to new."""
        return f"{{{self.app}.f.{self.table}}}:record"

    @property
    def loading(self) -> str:
        """On the slot of ``record``, so that both change in one transaction."""
        return f"{{{self.app}.f.{self.table}}}:loading"

    def rows(self, generation: str, slot: int) -> str:
        """The rows of one slot of one generation."""
        return f"{{{self.app}.f.{self.table}.{slot}}}:rows:{generation}"


def tables(app: str) -> str:
    """Pattern of the keys of all tables of features of an application: of :class:`FeatureKeys`."""
    return f"{{{app}.f.*}}:*"


def tables_copied(app: str) -> str:
    """In a feature store: the tables that the store had before there was one are here. Never expires."""
    return f"{{{app}.f}}:copied"


def mark_beside(key: str) -> str:
    """On the slot of another key: who waits for replicas writes here, since ``WAIT`` heeds its own writes.

    >>> mark_beside("{shop.3}:ex")
    '{shop.3}:mark'
    """
    return f"{key.partition('}')[0]}}}:mark"


def weights(app: str) -> str:
    """Hash of the newest: ``version``, ``epoch``, ``positions``, ``checksum``, and when: ``clock_ms``.

    ``record`` is the last version that was published whole, which may be an earlier one: the way from there
    is in :func:`deltas`. Read it through ``deltas.read_newest``.
    """
    return _of_app(app, "w")


def deltas(app: str) -> str:
    """Stream of changes from version to version, see ``deltas.py``: at least all since ``record`` above."""
    return _of_app(app, "w:deltas")


def weights_log(app: str) -> str:
    """Stream of publications. Trimmed behind the archiver, which copies it beside the Parquet files."""
    return _of_app(app, "w:log")


def model_infos(app: str) -> str:
    """Hash: version to ``clock_ms|info`` of each version that is kept, see ``models.py``.

    Thinned by the learner; imported ones stay until they are forgotten.
    """
    return _of_app(app, "w:infos")


def model_records(app: str) -> str:
    """Hash: version to its weights record, of exactly the versions in :func:`model_infos`."""
    return _of_app(app, "w:models")


def pin(app: str) -> str:
    """Hash ``version``, ``clock_ms``, ``reason``: the kept version that is served, not the newest.

    Absent: the newest is.
    """
    return _of_app(app, "w:pin")


def requests(app: str) -> str:
    """Stream of requests for decisions, see ``stream_front.py``; emptied as they are answered."""
    return _of_app(app, "requests")


def reply(app: str, name: str) -> str:
    """Stream of the answers to those who named it. Bounded, and gone when it was idle for an hour."""
    return _of_app(app, f"reply:{name}")


def roster(app: str) -> str:
    """Hash ``models``, ``revision``, ``clock_ms``, ``what``: which models score, see ``roster.py``.

    Absent: one does, the champion.
    """
    return _of_app(app, "w:roster")


def deployed(app: str) -> str:
    """Hash: version to its weights record, of exactly the fixed versions that the roster names."""
    return _of_app(app, "w:deployed")


def exploring(app: str) -> str:
    """Hash ``plan``, ``revision``, ``clock_ms``, ``what``: how it explores, see ``exploring.py``.

    Absent: as its ``app.toml`` says.
    """
    return _of_app(app, "explore")


def answers(app: str) -> str:
    """Hash: source of a decision, or ``excluded``, to how many of them the services have answered.

    For people: what a service had not written yet when it died is missing. Never expires: a field a source.
    """
    return _of_app(app, "answers")


def arm_sums(app: str, letter: str, number: int) -> str:
    """Hash: arm and segment to their sums, of five minutes (``m``), an hour or a day since 1970.

    Kept as long as ``arm_sums.py`` says.
    """
    return _of_app(app, f"arms:{letter}:{number}")


def arm_sums_counted(app: str) -> str:
    """Hash: partition to the position up to which its decisions are in those sums."""
    return _of_app(app, "arms:counted")


def models_course(app: str) -> str:
    """List: how every model did, a point every quarter of a minute, newest first, see ``course.py``."""
    return _of_app(app, "w:course")


def nodes(app: str) -> str:
    """Hash: service to ``clock_ms|report`` of the nodes of its feature graph, see ``node_report.py``.

    Who has been silent for ten minutes is left out at the next write.
    """
    return _of_app(app, "nodes")


def earned_of_hour(app: str, hour: int) -> str:
    """Hash: minute since 1970 to what was earned in it, of an hour, see ``earned.py``. Kept three hours."""
    return _of_app(app, f"earned:h:{hour}")


def earned_of_day(app: str, day: int) -> str:
    """The same by ten minutes, of a day, with the day's evidence. Kept three days."""
    return _of_app(app, f"earned:d:{day}")


def earned_counted(app: str) -> str:
    """Hash: partition to the position up to which its decisions are in those sums."""
    return _of_app(app, "earned:counted")


def traffic_of_hour(app: str, hour: int) -> str:
    """Hash: ``minute|what`` to how often, of an hour, see ``traffic.py``. Kept three hours."""
    return _of_app(app, f"traffic:h:{hour}")


def traffic_of_day(app: str, day: int) -> str:
    """The same by ten minutes, of a day, UTC. Kept two days."""
    return _of_app(app, f"traffic:d:{day}")


def canaries(app: str) -> str:
    """Hash: ``name@version`` of a canary to the distribution that its scores are compared with."""
    return _of_app(app, "w:canaries")


def base_model(app: str) -> str:
    """Hash ``name``, ``record``, ``note``: the base model whose score is a feature; absent: there is none."""
    return _of_app(app, "w:base")


def model_notices(app: str) -> str:
    """Stream of pins, their ends, base models, rosters and explorations, the last thousand.

    Whoever serves waits on it.
    """
    return _of_app(app, "w:notices")


def serving(app: str) -> str:
    """Hash: sidecar to ``clock_ms|version|pinned|word``.

    Who has been silent for ten minutes is left out at the next write.
    """
    return _of_app(app, "w:serving")


def epoch(app: str) -> str:
    """Integer: who took it last is the learner; publications of earlier ones are fenced off."""
    return _of_app(app, "epoch")


def catalogues(app: str) -> str:
    """Hash: catalogue version to its arms. No expiry: a decision may name any of them."""
    return _of_app(app, "catalogues")


def arms_now(app: str) -> str:
    """Hash of the current catalogue: ``version``, ``revision``, ``at_ms``, ``reason``.

    ``f:<version>`` for each that an application's file held: it is put in place once.
    """
    return _of_app(app, "arms")


def arms_notices(app: str) -> str:
    """Stream of the catalogue's changes, the last thousand."""
    return _of_app(app, "arms:notices")


def arms_serving(app: str) -> str:
    """Hash: service to ``clock_ms|version|0|word``, as :func:`serving`."""
    return _of_app(app, "arms:serving")


def hooks(app: str) -> str:
    """Stream of what webhooks are told, the last thousand."""
    return _of_app(app, "hooks")


def hooks_state(app: str) -> str:
    """Hash: ``told``, how far the looks for news have come; ``at:<digest>`` how far an address has heard."""
    return _of_app(app, "hooks:state")


def hooks_lease(app: str) -> str:
    """The replica that looks for news and tells them: ten seconds."""
    return _of_app(app, "hooks:lease")


def learner_status(app: str) -> str:
    """Hash in which the learner says how it is."""
    return _of_app(app, "learner")


def learnt(app: str) -> str:
    """Hash in which the learner tells an archiver of its own how far it may go, see ``learnt.py`` there."""
    return _of_app(app, "learnt")


def contests(app: str) -> str:
    """Hash ``shown``, ``state``, ``clock_ms``: what the learner knows of every model, see ``contests.py``.

    ``state`` is the learner's own: its sums, and how far into the streams they go. Absent: one model scores.
    """
    return _of_app(app, "w:contests")


def workers(app: str) -> str:
    """Hash: joiner or archiver to ``clock_ms|report``.

    Who has been silent for ten minutes is left out at the next write.
    """
    return _of_app(app, "workers")


def app_skew(app: str) -> str:
    """Like :attr:`Keys.skew`, for the keys of the application as a whole."""
    return _of_app(app, "skew")


def session_ttl_ms(horizon_ms: int, tombstone_ms: int) -> int:
    """A session is remembered as long as a reward or a repeat for its last decision can be recognised."""
    return horizon_ms + tombstone_ms


def answer_ttl_ms(tombstone_ms: int, retention_ms: int = ANSWER_RETENTION_MS) -> int:
    """An answer is never kept longer than the tombstone that proves it final."""
    return min(retention_ms, tombstone_ms)


def _of_app(app: str, name: str) -> str:
    return f"{{{app}}}:{name}"
