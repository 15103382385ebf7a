"""The scripts against a model of them, and the proof that this comparison can fail."""

from __future__ import annotations

import pytest

from tests.sidecar.contracts.join_machine import explore, scripts_with

EXAMPLES = 450  # walks differ with the modules that are loaded, whose constants are drawn from
BUDGET = 450  # a mutant must be caught within as many walks as the true scripts survive

MUTANTS = {
    "decide, the same id twice": ("decide", "if pending[id] then return seen", "if false then return seen"),
    "decide, no tombstone": (
        "decide",
        "if any_tomb and call('SISMEMBER', f, member) == 1 then",
        "if false then",
    ),
    "decide, tombstones of others only": ("decide", "unpack(tombs, from, last)) > 0", "tombs[last]) > 0"),
    "decide, client keys forgotten": ("decide", "if repeated then return repeated end", ""),
    "decide, digest not compared": ("decide", "if its_digest ~= digest then", "if false then"),
    "decide, no cap": ("decide", "if room <= 0 then", "if false then"),
    "decide, early rewards stay orphans": ("decide", "call('ZREM', orph, unpack(ids, from, last))", ""),
    "decide, expiry on what is pending": (
        "decide",
        "redis.call('MSET', unpack(texts, 2 * from - 1, 2 * last))",
        "for t = 2 * from - 1, 2 * last, 2 do redis.call('SET', texts[t], texts[t + 1], 'PX', 86400000) end",
    ),
    "reward, no idempotency": ("reward", "if old then return again", "if false then return again"),
    "reward, contradictions forgotten": ("reward", "keep('X', name, key, record)", ""),
    "reward, no tombstone": ("reward", "if call('SISMEMBER', f, member) == 1 then", "if false then"),
    "reward, no limit": ("reward", "if held >= most then", "if false then"),
    "reward, late ones not logged": ("reward", "keep('L', id, key, record)", ""),
    "reward, late ones unmarked": ("reward", "'L' .. record", "record"),
    "reward, nobody waits for early ones": (
        "reward",
        "call('ZADD', orph, 'NX', whole(now + early_ms), id)",
        "",
    ),
    "reward, a wait that each reward prolongs": ("reward", "'NX', whole", "whole"),
    "reward, awaited without limit": ("reward", "call('ZCARD', orph) >= most_awaited", "false"),
    "reward, retry goes to the newest decision": (
        "reward",
        "call('HSET', s, 'w:' .. key, target)",
        "call('HGET', s, 'last')",
    ),
    "reward, stale target accepted": (
        "reward",
        "if target ~= (rule == '*' and aim or id) then return 'MOVED', target end",
        "",
    ),
    "reward, unknown ones not remembered": (
        "reward",
        "call('HSET', s, 'w:' .. key, '|' .. record)",
        "",
    ),
    "finalise, no tombstone": ("finalise", "call('SADD', f, unpack(members))", ""),
    "finalise, still due": (
        "finalise",
        "if #closed > 0 then call('ZREM', due, unpack(closed)) end",
        "",
    ),
    "finalise, before the horizon": ("finalise", "if deadline and tonumber(deadline) <= now", "if deadline"),
    "finalise, rewards left behind": (
        "finalise",
        "if #rewards > 0 then more = {'r', cmsgpack.pack(rewards)} end",
        "",
    ),
    "finalise, no answer kept": ("finalise", "call('PEXPIRE', d, answer_ms)", "call('DEL', d)"),
    "finalise, answers kept for ever": ("finalise", "call('PEXPIRE', d, answer_ms)", ""),
    "orphan, still awaited": ("orphan", "call('ZREM', orph, id)", ""),
    "orphan, before its time": ("orphan", "if deadline and tonumber(deadline) <= now", "if deadline"),
    "orphan, rewards stay": ("orphan", "call('UNLINK', r)", ""),
    "orphan, rewards forgotten": (
        "orphan",
        "for j = 1, #rewards, 2 do\n    append",
        "for j = 3, #rewards, 2 do\n    append",
    ),
    "decide, modes forgotten": ("decide", "deadline .. flags .. '|'", "deadline .. '|'"),
    "decide, deferred ones count at once": ("decide", "if deferred == '' and mode", "if mode"),
    "decide, what is assumed is not told": ("decide", "teach(ex, c, now, 'A', id, payload)", ""),
    "decide, early rewards are told of twice": (
        "decide",
        "known[j], known[j + 1] = rewards[j], rewards[j + 1]",
        "known = rewards",
    ),
    "decide, early rewards wait for the horizon": ("decide", "#rewards > 0 then teach", "false then teach"),
    "decide, logged although it was not to be": (
        "decide",
        "if flags == '-' then return shed",
        "if false then return shed",
    ),
    "decide, rewards of what was shed go to the decision before it": (
        "decide",
        "call('HSET', session, 'last', id) end",
        "local _ = 1 end",
    ),
    "reward, told of while its decision is deferred": ("reward", "deferred ~= '' or", ""),
    "reward, each one an early example": ("reward", "(mode == 'e' and held > 0)", "false"),
    "reward, no correction": ("reward", "if mode == 'a' then\n    teach", "if false then\n    teach"),
    "reward, a correction without what was before": (
        "reward",
        "'C', id, payload, call('HGETALL', r), key)",
        "'C', id, payload, {key, call('HGET', r, key)}, key)",
    ),
    "activate, twice": ("activate", "if deferred == '' then return told", "if false then return told"),
    "activate, after the end": (
        "activate",
        "if not call('ZSCORE', due, id) then",
        "if false then",
    ),
    "activate, still deferred": (
        "activate",
        "deadline .. mode .. '|'",
        "deadline .. mode .. deferred .. '|'",
    ),
    "activate, mode forgotten": ("activate", "deadline .. mode .. '|'", "deadline .. '|'"),
    "activate, not told": ("activate", "  begin(ex, c, now, mode, id, payload, rewards_at(r))", ""),
    "activate, the horizon does not begin anew": (
        "activate",
        "call('ZADD', due, 'XX'",
        "local _ = ('XX'",
    ),
    "finalise, never activated, and yet a final one": ("finalise", "deferred == 'd' and 'N' or 'F'", "'F'"),
    "finalise, mode not told": ("finalise", "if mode and mode ~= '' then", "if false then"),
    "clock that runs backwards": (
        "decide",
        "return math.max(now, tonumber(guard or '0'))",
        "return now",
    ),
}


def test_scripts_do_what_the_model_does(store):
    """Whatever is called in whatever order, answers, streams, counters and stored state are the model's."""
    explore(scripts_with(store), EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_script_is_caught(store, mutant):
    """Each way to break the join that we could think of is noticed: agreement is worth something."""
    wrong = scripts_with(store, *MUTANTS[mutant])  # outside: a mutant that is not there proves nothing
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - an assertion, or the store's own refusal
        explore(wrong, BUDGET)
    assert not isinstance(caught.value, (KeyboardInterrupt, SystemExit))
