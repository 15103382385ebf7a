"""Wrong variants of what a service does while its store is away: seeds of ``spooling.py`` catch each."""

from __future__ import annotations

from tests.faults.mutant import Mutant

SEEDS = "tests.faults.spooling"

OF_THE_SPOOL = (
    Mutant(
        "what is written down is not flushed",
        "decision_service/spool_files.py",
        "            os.fdatasync(descriptor)\n        except OSError:",
        "            pass\n        except OSError:",
        SEEDS,
    ),
    Mutant(
        "a segment is removed while some of it waits",
        "decision_service/spool.py",
        "        if not self._in_segment[held.segment]:",
        "        if held.segment != _ORPHANS:",
        SEEDS,
    ),
    Mutant(
        "what a dead process left is removed before it is sent",
        "decision_service/spool.py",
        "        if not records:\n            self._forget_segment(_ORPHANS)",
        "        self._forget_segment(_ORPHANS)",
        SEEDS,
    ),
    Mutant(
        "what a dead process left is not looked for",
        "decision_service/spool_files.py",
        '            if any(folder.glob("*.spool")):',
        "            if False:",
        SEEDS,
    ),
    Mutant(
        "what a dead process had not flushed is relied on",
        "decision_service/spool_files.py",
        "                os.fdatasync(file.fileno())\n",
        "",
        SEEDS,
    ),
    Mutant(
        "a torn record is taken for a whole one",
        "sidecar/contracts/spooled.py",
        " or zlib.crc32(body) != checksum:",
        ":",
        SEEDS,
    ),
    Mutant(
        "what waits leaves before the store has heard of it",
        "decision_service/draining.py",
        "        kind = next(iter(held.values())).record.kind\n",
        "        kind = next(iter(held.values())).record.kind\n        self._spool.settle(held)\n",
        SEEDS,
    ),
    Mutant(
        "what was sent stays",
        "decision_service/draining.py",
        "t for t, sent in outcomes.items() if sent.status and not sent.refused",
        "t for t, sent in outcomes.items() if not sent.status",
        SEEDS,
    ),
    Mutant(
        "what the store has forgotten is sent once more",
        "decision_service/draining.py",
        "if one.record.at_ms < oldest_ms]",
        "if False]",
        SEEDS,
    ),
    Mutant(
        "what is kept aside is not",
        "decision_service/spool.py",
        "            await self._on_disk(keep_refused, self._root, content)\n"
        "        except OSError as error:\n"
        '            raise SpoolFailed(f"refused',
        '            pass\n        except OSError as error:\n            raise SpoolFailed(f"refused',
        SEEDS,
    ),
    Mutant(
        "rewards are sent before decisions",
        "decision_service/draining.py",
        '("decision", "activation", "reward")',
        '("reward", "activation", "decision")',
        SEEDS,
    ),
    Mutant(
        "decisions overtake rewards for those before them",
        "decision_service/draining.py",
        "            done.add(one.session)\n",
        "            pass\n",
        SEEDS,
    ),
    Mutant(
        "a decision under a used name is overtaken",
        "decision_service/draining.py",
        "            done.add(one.event.session_id)\n",
        "            pass\n",
        SEEDS,
    ),
    Mutant(
        "a decision whose key was used is dropped",
        "decision_service/resending.py",
        "[place for place, one in enumerate(sent) if one == _SUPERSEDED]",
        "[]",
        SEEDS,
    ),
    Mutant(
        "one lost reply and the spool is taken for sent",
        "decision_service/resending.py",
        "            if not _is_refusal(error):\n                raise\n",
        "            pass\n",
        SEEDS,
    ),
    Mutant(
        "a repeat finds nothing that waits",
        "decision_service/beside.py",
        "        if not len(self._spool):\n            return None\n",
        "        return None\n",
        SEEDS,
    ),
    Mutant(
        "a service forgets what it answered",
        "decision_service/event_log.py",
        "            self._beside.remembered.note(event, kept_as, decided, entry.payload)\n",
        "            pass\n",
        SEEDS,
    ),
    Mutant(
        "a service forgets what it has sent from its spool",
        "decision_service/event_log.py",
        "        self._beside.remembered.note(event, kept_as, decided, payload)\n",
        "",
        SEEDS,
    ),
    Mutant(
        "a key is not known after a restart",
        "decision_service/spool.py",
        "self._by_name.update(dict.fromkeys(names_of(held.event, held.record.kept_as), ticket))",
        "pass",
        SEEDS,
    ),
    Mutant(
        "a decision overtakes what waits of its session",
        "decision_service/event_log.py",
        ' if not self._spool.precedes("", asked[p].event.session_id)]',
        "]",
        SEEDS,
    ),
    Mutant(
        "a reward overtakes the decision that it is for",
        "decision_service/reward.py",
        "self._guard.closed and not self._spool.precedes(draft.decision_id, draft.session_id)",
        "self._guard.closed",
        SEEDS,
    ),
    Mutant(
        "an activation overtakes its decision",
        "decision_service/activation.py",
        'self._guard.closed and not self._spool.precedes(decision_id, "")',
        "self._guard.closed",
        SEEDS,
    ),
    Mutant(
        "a spool is not bounded",
        "decision_service/spool.py",
        "        if self.bytes + self._coming_bytes + size > self._limit_bytes * share:",
        "        if False:",
        SEEDS,
    ),
    Mutant(
        "a full disk is no failure",
        "decision_service/spool.py",
        "            for held in taken:\n                self._drop(held)\n            raise\n",
        "            pass\n",
        SEEDS,
    ),
)
