"""Wrong variants that lose nothing and double nothing, and have a number wrong: propensities, promotion.

The simulation has one model and no statistics, so each of these is looked for by the tests that it names.
"""

from __future__ import annotations

from tests.faults.mutant import Mutant

PROMOTION = "policy_learner/promotion"
EVIDENCE, CONTESTS, PROMOTER, PROPENSITIES, DECIDING = (
    "tests/sidecar/policy/test_evidence.py",
    "tests/policy_learner/test_contests.py",
    "tests/policy_learner/test_promoter.py",
    "tests/decision_service/test_propensities.py",
    "tests/decision_service/test_deciding.py",
)

OF_CHANCE = (
    # Evidence.
    Mutant(
        "a bet costs nothing",
        "sidecar/policy/evidence.py",
        "_GAIN * totals[:, :, None] - _COST",
        "_GAIN * totals[:, :, None] - 0.0 * _COST",
        tests=(EVIDENCE, "bound_lies_below"),
    ),
    Mutant(
        "the mean of what is taken off is not put back",
        f"{PROMOTION}/gains.py",
        " + (chances * taken).sum(-1)",
        "",
        tests=(EVIDENCE, "mean_outcome"),
    ),
    Mutant(
        "an arm that is never drawn speaks for the challenger",
        f"{PROMOTION}/gains.py",
        " + feared",
        "",
        tests=(EVIDENCE, "never_let"),
    ),
    Mutant(
        "every challenger has the whole error to itself",
        f"{PROMOTION}/contest.py",
        "config.error / 2 / rivals",
        "config.error / 2",
        tests=(CONTESTS, "share_the_error"),
    ),
    Mutant(
        "a handful of decisions is enough",
        f"{PROMOTION}/contest.py",
        '"better" if effective >= config.least_effective else "too few"',
        '"better"',
        tests=(CONTESTS, "too_few"),
    ),
    Mutant(
        "the control share is not asked",
        f"{PROMOTION}/contest.py",
        "    if control_upper < 0.0:\n",
        "    if False:\n",
        tests=(CONTESTS, "worse_than_drawing_evenly"),
    ),
    Mutant(
        "what a shadow would have done depends on who was official",
        f"{PROMOTION}/heard.py",
        "    decisions = _of_the_decision(answered, known)\n",
        "    decisions = event.exploration\n",
        tests=(CONTESTS, "who_was_official"),
    ),
    Mutant(
        "another version goes on with the evidence of the one before",
        f"{PROMOTION}/ledger.py",
        "{model.name} {model.version} {model.container}",
        "{model.name} {model.container}",
        tests=(CONTESTS, "another_version"),
    ),
    # The learner's book.
    Mutant(
        "decisions count with their first reward",
        f"{PROMOTION}/promoter.py",
        "if one.joined.kind == _CLOSING",
        "if True",
        tests=(PROMOTER, "only_what_is_finalised"),
    ),
    Mutant(
        "a restart does not read again what was not written down",
        f"{PROMOTION}/promoter.py",
        "        self._positions = saved.positions\n",
        "",
        tests=(PROMOTER, "counts_once"),
    ),
    Mutant(
        "a learner that was replaced may promote",
        f"{PROMOTION}/promoter.py",
        "                epoch=self._epoch,\n",
        "",
        tests=(PROMOTER, "another_one_replaced"),
    ),
    Mutant(
        "streams are trimmed before the contests have written down what was in them",
        "policy_learner/loop.py",
        "        learner.promoter.look(now=True)\n",
        "",
        tests=(PROMOTER, "orderly_stop"),
    ),
    # Propensities.
    Mutant(
        "the arm is drawn from one model and logged as drawn from all",
        "decision_service/choice.py",
        "    pmf, index = scored.drawn(seed)\n",
        '    pmf, index = __import__("msgspec").structs.replace(scored, candidates=()).drawn(seed)\n',
        tests=(PROPENSITIES, "challenger"),
    ),
    Mutant(
        "those who are decided together are given one another's scores",
        "decision_service/decide.py",
        "    for case, what in zip(open_, said, strict=True):\n",
        "    for case, what in zip(open_, reversed(said), strict=True):\n",
        tests=(DECIDING, "told_alone"),
    ),
    Mutant(
        "who is official has nothing to do with the arm",
        "decision_service/rendezvous.py",
        "accumulate(posterior(scored.parts(), place))",
        "accumulate([part[1] for part in scored.parts()])",
        tests=(PROPENSITIES, "challenger"),
    ),
    Mutant(
        "the exploration that is logged is not the one that was used",
        "decision_service/decided_event.py",
        "        exploration=scored.exploration,\n",
        "        exploration=plan.explores.exploration,\n",
        tests=(PROPENSITIES, "backstop or stale or every_slot"),
    ),
    Mutant(
        "slots after the first have the probability that they had among all arms",
        "sidecar/policy/slots.py",
        "float(pmf[chosen])",
        "float(pmf_of_event(event)[place])",
        tests=(PROPENSITIES, "every_slot"),
    ),
    Mutant(
        "what is kept in the log depends on what was drawn",
        "sidecar/policy/sampling.py",
        'secret, b"sidearm.keep"',
        'secret, b"sidearm.draw"',
        tests=(PROPENSITIES, "share_of_the_log"),
    ),
    Mutant(
        "each model has a control share and a floor of its own",
        "sidecar/contracts/roster.py",
        "control_share=decision.control_share, floor=floor)",
        "control_share=own.control_share)",
        tests=(PROPENSITIES, "stale"),
    ),
)
