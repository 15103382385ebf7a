"""Wrong variants of the product, each of which must be caught: a checker that catches nothing proves nothing.

Each is one replacement in one file, made in a copy of the tree. If its text is not in the file exactly once,
the product has changed and the mutant with it must: that is an error, never a pass.
"""

from __future__ import annotations

from tests.faults.mutant import Mutant
from tests.faults.mutants_of_chance import OF_CHANCE
from tests.faults.spool_mutants import OF_THE_SPOOL

SCRIPTS = "sidecar/contracts/scripts"

OF_THE_LEARNER = (
    # The scripts.
    Mutant(
        "a reward's key is not looked at",
        f"{SCRIPTS}/reward.lua",
        "  if old then return again(id, key, record, old) end",
        "",
    ),
    Mutant(
        "a reward is not told from one of a finalised decision",
        f"{SCRIPTS}/reward.lua",
        "  if call('SISMEMBER', f, member) == 1 then",
        "  if false then",
    ),
    Mutant(
        "a decision that was finalised may be made again",
        f"{SCRIPTS}/decide.lua",
        "  if any_tomb and call('SISMEMBER', f, member) == 1 then",
        "  if false then",
    ),
    Mutant(
        "a client's key is forgotten",
        f"{SCRIPTS}/decide.lua",
        "  if repeated then return repeated end",
        "",
    ),
    Mutant(
        "early rewards stay orphans when their decision comes",
        f"{SCRIPTS}/decide.lua",
        "call('ZREM', orph, unpack(ids, from, last))",
        "local _ = 1",
    ),
    Mutant(
        "rewards are not handed on when a decision is finalised",
        f"{SCRIPTS}/finalise.lua",
        "  if #rewards > 0 then more = {'r', cmsgpack.pack(rewards)} end\n",
        "",
    ),
    Mutant(
        "a paused learner may publish",
        f"{SCRIPTS}/publish.lua",
        "then return 'FENCED' end",
        "then local _ = 1 end",
    ),
    Mutant(
        "positions are published apart from the weights",
        f"{SCRIPTS}/publish.lua",
        "'positions', positions,\n",
        "\n",
    ),
    # The learner's order of steps.
    Mutant(
        "streams are trimmed behind the archive only",
        "policy_learner/archive/trimming.py",
        "min(rows.end, lessons.end, trained, key=order)",
        "min(rows.end, lessons.end, key=order)",
    ),
    Mutant(
        "streams are trimmed behind the checkpoint only",
        "policy_learner/archive/trimming.py",
        "min(rows.end, lessons.end, trained, key=order)",
        "trained",
    ),
    Mutant(
        "versions are trimmed before they are archived",
        "policy_learner/archive/trimming.py",
        " and order(entry.position) <= archived",
        "",
    ),
    Mutant(
        "a restart goes on from the checkpoint, not from what was published",
        "policy_learner/state.py",
        "positions=resumed.positions,",
        "positions=list(saved.positions) if saved else resumed.positions,",
    ),
    Mutant(
        "a restart does not train again what was published after the checkpoint",
        "policy_learner/models/rebuild.py",
        "            _train_batch(past, training, reader, batch)",
        "            training.trained[batch.partition] = batch.last",
    ),
    Mutant(
        "a checkpoint holds what is not published",
        "policy_learner/loop.py",
        "if not (now or timer.due) or progress.since or progress.outstanding or progress.begun:",
        "if not (now or timer.due) or progress.begun:",
    ),
    Mutant(
        "what was trained on is listed again in the next version",
        "policy_learner/models/standing.py",
        "progress.batches, progress.since, progress.judged, progress.outstanding = [], 0, 0, None",
        "progress.since, progress.judged, progress.outstanding = 0, 0, None",
    ),
    Mutant(
        "streams are read from the last entry on, not after it",
        "policy_learner/join/streams.py",
        'pipe.xrange(stream, f"({after}", until, count)',
        "pipe.xrange(stream, after, until, count)",
    ),
    Mutant(
        "what is refused is not put with the dead letters",
        "policy_learner/loop.py",
        "        learner.dead_letters.bury(learner.partitions[partition], entry, reason)",
        "        del partition, entry, reason",
    ),
    # The archive.
    Mutant(
        "a file is named by where it ends",
        "policy_learner/archive/chain.py",
        'final = where / f"{lane}-{first}.parquet"',
        'final = where / f"{lane}-{covers.last}.parquet"',
    ),
    Mutant(
        "a file may replace another",
        "policy_learner/archive/chain.py",
        "            os.link(temporary, final)",
        "            os.replace(temporary, final)",
        # Two writers must read the same first entry and not the same last one: one seed in a thousand does.
        tests=("tests/policy_learner/test_chain.py", "finds_the_name_taken"),
    ),
    Mutant(
        "nobody looks whether the chain has grown",
        "policy_learner/archive/chain.py",
        "    if _has_grown(folder, lane, covers.after):",
        "    if False:",
    ),
    Mutant(
        "a file that somebody else wrote counts as one's own",
        "policy_learner/archive/lane.py",
        "                self._start_over()\n                break",
        "                pass",
    ),
    # Modes: what is learnt before the horizon.
    Mutant(
        "a decision's mode is lost when it is finalised",
        f"{SCRIPTS}/finalise.lua",
        "  if mode and mode ~= '' then table.insert(more, 'm') table.insert(more, mode) end\n",
        "",
    ),
    Mutant(
        "what nobody activated is finalised like everything else",
        f"{SCRIPTS}/finalise.lua",
        "deferred == 'd' and 'N' or 'F'",
        "'F'",
    ),
    Mutant(
        "a deferred decision is taught at once",
        f"{SCRIPTS}/decide.lua",
        "  if deferred == '' and mode ~= '' then",
        "  if mode ~= '' then",
    ),
    Mutant(
        "early rewards are not compensated",
        f"{SCRIPTS}/pending.lua",
        "    teach(ex, c, now, 'C', id, payload, known, rewards[j])\n",
        "",
    ),
    Mutant(
        "a reward is compensated twice",
        f"{SCRIPTS}/reward.lua",
        "    teach(ex, c, now, 'C', id, payload, call('HGETALL', r), key)",
        "    for _ = 1, 2 do teach(ex, c, now, 'C', id, payload, call('HGETALL', r), key) end",
    ),
    Mutant(
        "in mode earliest every reward is an example",
        f"{SCRIPTS}/reward.lua",
        " or (mode == 'e' and held > 0) then return end",
        " then return end",
    ),
    Mutant(
        "what was learnt at its first reward is learnt again at its horizon",
        "policy_learner/learning/teaching.py",
        'case "F" if mode == AT_ONCE and rewarded:',
        'case "F" if mode == AT_ONCE and rewarded and False:',
    ),
    Mutant(
        "what was assumed is learnt again at its horizon",
        "policy_learner/learning/teaching.py",
        "            return Effect.WATCHED",
        "            return Effect.LEARNT",
    ),
    Mutant(
        "what was never activated is learnt",
        "policy_learner/learning/teaching.py",
        'case "F" | "E":',
        'case "F" | "E" | "N":',
    ),
    Mutant(
        "a correction is the whole reward, not the difference that it makes",
        "policy_learner/learning/teaching.py",
        "        value -= join([one for one in joined.rewards if one.key != joined.key], config).value",
        "        pass",
    ),
    Mutant(
        "lessons are not written",
        "policy_learner/archive/parquet_sink.py",
        "return [*self.lessons, *self.decisions,",
        "return [*self.decisions,",
    ),
    Mutant(
        "two lanes of a stream name files by what is not theirs",
        "policy_learner/archive/lane.py",
        "        mine = [entry for entry in entries if self._takes(entry)]",
        "        mine = entries",
    ),
    Mutant(
        "a rebuild leaves lessons out",
        "policy_learner/archive/archive_reader.py",
        "        if not lessons.positions:",
        "        if True:",
    ),
    Mutant(
        "a rebuild takes lessons after decisions",
        "policy_learner/archive/archive_reader.py",
        "sorted(range(len(positions)), key=positions.__getitem__)",
        "range(len(positions))",
    ),
    # Compaction.
    Mutant(
        "what was compacted still counts where it came from",
        "policy_learner/archive/compaction.py",
        "        covers={**seen.manifest.covers, **covers},",
        "        covers=seen.manifest.covers,",
    ),
    Mutant(
        "a generation lists what it replaces too",
        "policy_learner/archive/compaction.py",
        "files = sorted([*(f for f in manifest.files if f not in replaced), *written]",
        "files = sorted([*manifest.files, *written]",
    ),
    Mutant(
        "a generation forgets the days before",
        "policy_learner/archive/compaction.py",
        "files = sorted([*(f for f in manifest.files if f not in replaced), *written]",
        "files = sorted(written",
    ),
    Mutant(
        "a row group says that it ends where it begins",
        "policy_learner/archive/compaction.py",
        'group["position"][-1].as_py()',
        'group["position"][0].as_py()',
    ),
    Mutant(
        "what was compacted is removed, though it counts",
        "policy_learner/archive/compaction.py",
        "            if file.path not in listed:",
        "            if True:",
    ),
    Mutant(
        "who slept replaces the generation that was made meanwhile",
        "policy_learner/archive/generation.py",
        "        if max(generations(folder), default=0) >= manifest.generation:\n"
        "            return False\n        os.link(",
        "        os.replace(",
    ),
    Mutant(
        "a file of a generation that is on its way is cleared away",
        "policy_learner/archive/generation.py",
        "        return generation <= manifests[-1].generation and not listed",
        "        return not listed",
    ),
    Mutant(
        "files that were replaced are never cleared away",
        "policy_learner/archive/generation.py",
        "        if _is_spent(path, manifests, needed) or _is_stray(path, now_ms - grace_ms):",
        "        if _is_stray(path, now_ms - grace_ms):",
    ),
    # Beside the learner.
    Mutant(
        "the archive goes further than the learner has been",
        "policy_learner/archive/parquet_sink.py",
        "ready = [(lane, lane.wanted(until))",
        "ready = [(lane, lane.wanted())",
    ),
    Mutant(
        "the learner trims behind itself where another writes the log",
        "policy_learner/archive/lane.py",
        "self._written = self._read_to = max(end, told, key=order)",
        'self._written = self._read_to = f"{2**60}-0"',
    ),
)

MUTANTS = (*OF_THE_LEARNER, *OF_THE_SPOOL, *OF_CHANCE)
