"""Which test holds what: every edge case that an evaluation must survive, and every statistical claim.

The tables are read by people; that each named test is there is what this file checks. ``file::test`` is below
``tests/offline_eval/``, without ``test_`` and ``.py`` in the file's name.
"""

from __future__ import annotations

from pathlib import Path

import pytest

EDGE_CASES = {
    "p = 0 on a logged row": (
        "bad_input::test_one_bad_row_is_counted_and_said_and_many_withhold_the_number",
        "doctor::test_defective_rows_turn_the_verdict_red",
    ),
    "p is NaN or null": (
        "bad_input::test_one_bad_row_is_counted_and_said_and_many_withhold_the_number",
        "scan::test_no_number_in_a_parquet_file_is_found_though_statistics_hide_it",
    ),
    "p > 1 (densities are not logged: there is no other kind)": (
        "bad_input::test_one_bad_row_is_counted_and_said_and_many_withhold_the_number",
    ),
    "p = 1e-320, below the floor, or below what its draws can tell": (
        "edge_cases::test_one_wrong_propensity_of_two_thousand_changes_no_digit",
        "dataset::test_a_row_that_cannot_count_has_its_reason",
        "report::test_weights_and_limits_are_seen",
    ),
    "p = 1e-6 among healthy rows": (
        "edge_cases::test_one_tiny_propensity_among_healthy_rows_withholds_what_it_would_carry",
    ),
    "the target's probabilities lie outside [0, 1] and sum to 1": (
        "edge_cases::test_a_policy_that_is_no_distribution_has_no_number",
    ),
    "the target's probabilities sum to 1.5, or are NaN: rejected, with the rows' ids": (
        "edge_cases::test_a_policy_that_is_no_distribution_has_no_number",
    ),
    "no overlap": ("evaluate::test_without_overlap_there_is_no_number_but_the_models",),
    "partial support": ("edge_cases::test_mass_where_the_logger_never_goes_bounds_the_value",),
    "deterministic logging": (
        "evaluate::test_a_deterministic_log_is_left_to_the_model",
        "doctor::test_propensities_of_one_that_nobody_flagged_stop_the_log",
    ),
    "a reward that has not matured": (
        "edge_cases::test_rewards_that_have_not_come_are_in_neither_numerator_nor_denominator",
    ),
    "delayed rewards, the last days half matured": (
        "bad_input::test_days_that_have_not_matured_are_named",
        "evaluate::test_late_rewards_of_other_days_move_nothing_as_of_then",
    ),
    "reward is infinite, or 1e308": (
        "evaluate::test_rewards_that_overflow_withhold_the_number",
        "dataset::test_a_row_that_cannot_count_has_its_reason",
    ),
    "rewards far from 0": ("sums::test_rewards_far_from_zero_lose_no_digits_of_the_interval",),
    "a decision that stands twice": (
        "dataset::test_a_repeated_row_counts_once_and_is_counted",
        "bad_input::test_rows_that_stand_twice_count_once",
    ),
    "several reward events of one decision": ("edge_cases::test_rewards_that_were_merged_are_one_reward",),
    "an arm that is missing, or not in the catalogue": (
        "dataset::test_a_row_that_cannot_count_has_its_reason",
        "dataset::test_no_arms_at_all_is_an_unknown_arm",
        "bad_input::test_one_bad_row_is_counted_and_said_and_many_withhold_the_number",
    ),
    "the set of eligible arms varies": ("edge_cases::test_the_set_of_eligible_arms_may_differ_by_row",),
    "an empty log, one row, no variance": (
        "bad_input::test_an_empty_log_is_said_to_be",
        "bad_input::test_one_row_is_no_evidence",
        "intervals::test_nothing_to_go_by_is_everything_possible",
        "estimators::test_equal_rewards_have_no_spread_and_no_negative_variance",
    ),
    "ties in hard switches and clips": (
        "scan::test_a_weight_at_the_threshold_is_kept",
        "edge_cases::test_a_hair_of_a_weight_moves_a_hard_switch_and_not_a_smooth_one",
    ),
    "rewards are integers or decimals": (
        "sums::test_integer_rewards_are_numbers",
        "scan::test_decimals_and_booleans_are_numbers",
    ),
    "the target is the logger": (
        "estimators::test_the_logger_is_worth_exactly_its_mean_reward",
        "estimators::test_by_sql_too_the_logger_is_worth_exactly_its_mean_reward",
        "estimators::test_the_identity_of_dr_is_exact_where_binary_numbers_are",
        "evaluate::test_the_logger_on_its_own_log_earns_what_it_earned",
        "evaluate::test_the_logger_by_dr_is_its_mean_and_the_models_excess",
    ),
    "a uniform log, a deterministic target": (
        "estimators::test_uniform_logs_make_snips_the_replay_of_a_deterministic_target",
        "edge_cases::test_uniform_logs_have_a_replay",
    ),
    "rewards scaled and shifted": (
        "estimators::test_self_normalised_estimates_move_with_the_rewards",
        "estimators::test_ips_does_not_move_with_the_rewards",
    ),
    "rows in another order, other threads, other files": (
        "evaluate::test_the_order_of_rows_does_not_change_the_answer",
        "evaluate::test_batches_and_threads_do_not_change_the_answer",
        "sums::test_parts_in_any_order_and_centre_sum_to_the_whole",
    ),
    "nothing is known of an arm that the target never shows": (
        "edge_cases::test_nothing_known_of_an_arm_that_is_never_shown_harms_nobody",
    ),
    "users with many rows": (
        "coverage::test_users_with_many_rows",
        "edge_cases::test_rows_of_a_user_that_are_alike_are_noticed",
    ),
    "several loggers in one log": (
        "loggers::test_both_answers_hold_the_truth_and_are_surer_than_the_pool",
        "loggers::test_a_logger_whose_probabilities_are_not_known_is_named",
    ),
    "a thinned log": ("sums::test_a_row_kept_with_probability_one_half_counts_twice",),
    "clocks that differ, a time that is missing": (
        "edge_cases::test_rows_that_were_closed_before_they_were_made_are_noticed",
        "edge_cases::test_a_time_that_is_missing_is_counted",
    ),
    "NaN in the largest weight": ("edge_cases::test_no_weight_is_ever_no_number",),
}
"""Case to the tests that hold it."""

STATISTICS = {
    "a: figures of others, to 1e-9": (
        "reference::test_every_estimate_equals_the_reference",
        "reference::test_standard_errors_and_the_gaussian_interval_equal_the_reference",
        "reference::test_sums_and_the_control_variate_equal_the_reference",
        "reference::test_clopper_pearson_equals_the_reference",
    ),
    "b: intervals cover what they say, at three offsets, and are as wide as each other": (
        "coverage::test_independent_rows",
        "coverage::test_independent_rows_two_thousand_times",
        "coverage::test_users_with_many_rows_two_thousand_times",
    ),
    "c: the test of the mean weight has its size and its power": (
        "coverage::test_the_mean_weight_is_a_test_of_its_size_and_has_power",
    ),
    "d: DR is right when either half is, and wrong when none is": (
        "estimators::test_dr_is_right_when_either_half_is",
        "estimators::test_dr_is_wrong_when_both_halves_are",
    ),
    "e: the bootstrap of buckets beside the closed form, a million rows": (
        "clusters::test_the_bootstrap_agrees_with_the_formula_on_a_million_rows",
    ),
    "f: the confidence sequence at fifty looks": (
        "coverage::test_fifty_looks",
        "coverage::test_fifty_looks_two_thousand_times",
    ),
}
"""Claim to the tests that hold it."""

BAD_INPUT = {
    "propensities zero, NaN, above one, 1e-320, missing; unknown arms": (
        "bad_input::test_one_bad_row_is_counted_and_said_and_many_withhold_the_number",
    ),
    "an empty log": ("bad_input::test_an_empty_log_is_said_to_be",),
    "one row": ("bad_input::test_one_row_is_no_evidence",),
    "unmatured days": ("bad_input::test_days_that_have_not_matured_are_named",),
    "duplicates": ("bad_input::test_rows_that_stand_twice_count_once",),
    "foreign Parquet, a half-written file": (
        "bad_input::test_a_file_that_cannot_be_read_does_not_hide_the_others",
        "bad_input::test_no_file_at_all_that_can_be_read_is_one_line",
    ),
}
"""By the command line."""


@pytest.mark.parametrize("table", [EDGE_CASES, STATISTICS, BAD_INPUT])
def test_every_test_that_a_promise_names_is_there(table):
    """Under its name, in its file."""
    named = {test for tests in table.values() for test in tests}
    gone = []
    for one in sorted(named):
        file, _, name = one.partition("::")
        if f"def {name}(" not in (Path(__file__).parent / f"test_{file}.py").read_text():
            gone.append(one)
    assert gone == []
