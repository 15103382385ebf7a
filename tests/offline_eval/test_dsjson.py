"""VW's DSJSON in and out: what is written is read back the same, and VW learns the same from it."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from offline_eval.errors import BadInput
from offline_eval.evaluate import evaluate
from offline_eval.interchange.dsjson_in import decisions_of, import_dsjson
from offline_eval.interchange.dsjson_out import export_dsjson
from offline_eval.target_policy import Logged, Uniform
from tests.offline_eval.logs import ARMS, catalogue, row, simulated_rows, write_log

REFERENCE_LINE = (
    '{"_label_cost":-1.0,"_label_probability":0.8500000238418579,"_label_Action":1,"_labelIndex":0,'
    '"o":[{"v":1.0,"EventId":"bf50","ActionTaken":false}],"Timestamp":"2021-02-04T16:31:29.9430000Z",'
    '"Version":"1","EventId":"bf50","a":[1,3,2,4],"c":{"FromUrl":[{"timeofday":"Evening","name":"Alice"}],'
    '"_multi":[{"_tag":"Cappucino","i":{"constant":1,"id":"Cappucino"},"j":[{"type":"hot","price":2}]},'
    '{"_tag":"Cold brew","i":{"constant":1,"id":"Cold brew"},"j":[{"type":"cold"}]},'
    '{"_tag":"Iced mocha","i":{"constant":1,"id":"Iced mocha"}},{"_tag":"Latte"}]},'
    '"p":[0.85,0.05,0.05,0.05],"VWState":{"m":"ff/55"},"_original_label_cost":-1.0}'
)
CCB_LINE = (
    '{"Timestamp":"2021-04-26T17:23:28.1726275","Version":"1","EventId":"e0",'
    '"c":{"FromUrl":[{"weather":"sunny"}],"_multi":[{"_tag":"Mocha","j":[{"roast":"light"}]},'
    '{"_tag":"Latte","j":[{"roast":"dark"}]}],"_slots":[{"_id":"Main"},{"_id":"Side"}]},'
    '"_outcomes":[{"_label_cost":0.0,"_id":"Main","_a":[1,0],"_p":[0.7,0.3],"_o":[],'
    '"_original_label_cost":0.0},{"_label_cost":-2.0,"_id":"Side","_a":[0],"_p":[1.0],"_o":[],'
    '"_original_label_cost":-2.0}],"VWState":{"m":"N/A"}}'
)


def read(*lines: str):
    skipped = Counter()
    found = list(decisions_of([line.encode() for line in lines], skipped))
    return found, dict(skipped)


def changed(**changes: object) -> str:
    return json.dumps(json.loads(REFERENCE_LINE) | changes)


def test_a_line_of_the_format_is_a_decision():
    """Chosen arm, its probability, the others' in the order of the arms, the reward, features of both."""
    ((one,), skipped) = read(REFERENCE_LINE)

    assert skipped == {}
    assert (one.arm, one.propensity, one.reward) == ("Cappucino", 0.85, 1.0)
    assert one.arms == ("Cappucino", "Cold brew", "Iced mocha", "Latte")
    assert one.pmf == (0.85, 0.05, 0.05, 0.05)
    assert one.context == {"timeofday": "Evening", "name": "Alice"}
    assert one.arm_features == {"Cappucino": {"type": "hot", "price": 2.0}, "Cold brew": {"type": "cold"}}
    assert (one.at.isoformat(), one.policy) == ("2021-02-04T16:31:29.943000+00:00", "ff/55")


def test_the_pmf_is_put_into_the_order_of_the_arms():
    ((one,), _) = read(changed(a=[3, 1, 4, 2], p=[0.4, 0.3, 0.2, 0.1]))

    assert (one.arm, one.propensity) == ("Iced mocha", 0.4)
    assert one.pmf == (0.3, 0.1, 0.4, 0.2)


def test_drops_are_corrected_once():
    """p[0] is the propensity, whatever the label says; the row counts 1 / (1 - pdrop) times."""
    ((one,), _) = read(changed(pdrop=0.5, _label_probability=0.425))

    assert (one.propensity, one.inclusion_probability) == (0.85, 0.5)


def test_slots_are_decisions_among_the_arms_left():
    """Of a multi-slot line: 0-based actions, a reward each."""
    ((first, second), _) = read(CCB_LINE)

    assert (first.arm, first.arms, first.pmf, first.slot) == ("Latte", ("Mocha", "Latte"), (0.3, 0.7), 0)
    assert (second.arm, second.arms, second.propensity, second.slot) == ("Mocha", ("Mocha",), 1.0, 1)
    assert (first.reward, second.reward) == (0.0, 2.0)
    assert first.decision_id == second.decision_id == "e0"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[checkpoint]", "not_an_object"),
        ('{"RewardValue":1.0,"EventId":"x"}', "dangling_reward"),
        ("{", "broken"),
        ("{}", "no_context"),
        (changed(pdrop=1.0), "pdrop_invalid"),
        (changed(a=[9, 1]), "unknown_action"),
        (changed(a=[]), "broken"),
        (changed(p="much"), "broken"),
        (changed(Timestamp="yesterday"), "broken"),
        (changed(_label_ca={"cost": 1}), "continuous"),
        (changed(_outcomes=[]), "slate"),
    ],
)
def test_what_is_no_decision_is_counted(line, reason):
    """And the lines around it are read."""
    found, skipped = read(REFERENCE_LINE, line, "", CCB_LINE)

    assert (len(found), skipped) == (3, {reason: 1})


def test_an_event_that_was_never_activated_does_not_count(tmp_path):
    (tmp_path / "log.json").write_text(REFERENCE_LINE + "\n" + changed(_skipLearn=True, EventId="b"))

    made = import_dsjson(tmp_path / "log.json", tmp_path / "log" / "theirs")

    assert (made.summary.counted, made.summary.left_out) == (1, {"not_activated": 1})


def test_out_and_in_again_is_the_same_log(tmp_path):
    """Every estimate to the last digits; rows that were kept with a probability count as often as before."""
    rows = [
        one | {"inclusion_probability": 0.5 if i % 3 else 1.0} for i, one in enumerate(simulated_rows(300, 5))
    ]
    log = write_log(tmp_path, rows)

    counts = export_dsjson(log, tmp_path / "out.json")
    made = import_dsjson(tmp_path / "out.json", tmp_path / "log" / "again")

    assert counts == {"written": 300, "of_several_slots": 0}
    assert (made.summary.counted, made.skipped) == (300, {})
    first, second = (
        evaluate(folder, [Uniform(), Logged()]).candidates for folder in (log, tmp_path / "log" / "again")
    )
    for here, there in zip(first, second, strict=True):
        for one, other in zip(here.estimates, there.estimates, strict=True):
            if one.value and one.estimator not in ("dm", "dr", "sndr", "switch_dr_10", "dros_10"):
                assert other.value.value == pytest.approx(one.value.value, rel=1e-12)


def test_keys_have_the_order_of_the_format(tmp_path):
    """Readers that go by order exist."""
    export_dsjson(write_log(tmp_path, [row(0, inclusion_probability=0.5)]), tmp_path / "out.json")

    line = json.loads((tmp_path / "out.json").read_text())
    assert list(line) == [
        "_label_cost", "_label_probability", "_label_Action", "_labelIndex", "o", "Timestamp", "Version",
        "EventId", "a", "c", "p", "VWState", "pdrop", "_original_label_cost",
    ]  # fmt: skip
    assert (line["_label_probability"], line["p"][0], line["pdrop"]) == (0.25, 0.25, 0.5)


def test_what_has_no_line_is_counted(tmp_path):
    """Rows whose other probabilities are not known, and slots behind one that lacks."""
    rows = [row(0), row(1, slot=1), row(2, pmf=None), row(3, reward=None),
            *of_slots(4, ("red", "blue"), kept=(1.0, 0.5))]  # fmt: skip

    counts = export_dsjson(write_log(tmp_path, rows), tmp_path / "out.json")

    assert counts == {
        "written": 2, "of_several_slots": 0, "slot_before_missing": 1, "pmf_not_known": 1,
        "kept_with_another_probability": 1,
    }  # fmt: skip


def of_slots(i, shown, kept=None, forbidden=""):
    """Rows of one decision, each slot among the arms that the slots before left, and a reward each."""
    rows, left = [], list(ARMS)
    for slot, arm in enumerate(shown):
        could = [one for one in left if one != forbidden or slot != 1]
        pmf = [(place + 1) / sum(range(1, len(could) + 1)) for place in range(len(could))]
        place = could.index(arm)
        rows.append(
            row(
                i, could, slot=slot, arm=arm, arm_index=place, propensity=pmf[place], pmf=pmf,
                catalogue=catalogue().version, reward=float(i + slot), reward_source_n=1,
                inclusion_probability=kept[slot] if kept else 0.5,
            )
        )  # fmt: skip
        left.remove(arm)
    return rows


def test_several_slots_are_one_line_and_come_back_as_they_were(tmp_path):
    """Arms left, probabilities, rewards and the share that was kept, slot by slot; single ones among them."""
    rows = [row(0), *of_slots(1, ("blue", "red", "grey")), *of_slots(2, ("green", "grey")), row(3)]
    log = write_log(tmp_path, rows)

    counts = export_dsjson(log, tmp_path / "out.json")
    import_dsjson(tmp_path / "out.json", tmp_path / "log" / "again")

    assert counts == {"written": 4, "of_several_slots": 2}
    first, second = (_rows_of(folder) for folder in (log, tmp_path / "log" / "again"))
    assert first == second
    assert [one["slot"] for one in second] == [0, 0, 1, 2, 0, 1, 0]


def _rows_of(folder) -> list[dict[str, object]]:
    names = ["decision_id", "slot", "arm", "arms", "pmf", "propensity", "reward", "inclusion_probability"]
    (file,) = folder.rglob("*.parquet")
    return pq.read_table(file, columns=names).to_pylist()


def test_a_line_of_slots_has_the_order_of_the_format(tmp_path):
    """Actions are counted from 0 there, and probabilities know nothing of drops."""
    export_dsjson(write_log(tmp_path, of_slots(7, ("blue", "green"))), tmp_path / "out.json")

    line = json.loads((tmp_path / "out.json").read_text())
    assert list(line) == ["Timestamp", "Version", "EventId", "c", "_outcomes", "VWState", "pdrop"]
    assert list(line["c"]) == ["FromUrl", "_multi", "_slots"]
    assert list(line["_outcomes"][0]) == ["_label_cost", "_id", "_a", "_p", "_o", "_original_label_cost"]
    assert [(one["_a"], one["_label_cost"]) for one in line["_outcomes"]] == [
        ([2, 3, 1, 0], -7.0),
        ([1, 3, 0], -8.0),
    ]
    assert [one["_p"] for one in line["_outcomes"]] == [[0.3, 0.4, 0.2, 0.1], [2 / 6, 3 / 6, 1 / 6]]
    assert (line["pdrop"], line["c"]["_slots"]) == (0.5, [{"_id": "slot-0"}, {"_id": "slot-1"}])


def test_vw_reads_slots(tmp_path):
    """Its own reader: each slot's cost, the shown action with its probability, and which it could show."""
    vw = pytest.importorskip("vowpal_wabbit_next")
    log = write_log(tmp_path, of_slots(1, ("blue", "red"), forbidden="grey"))
    export_dsjson(log, tmp_path / "out.json")

    parser = vw.DSJsonFormatParser(vw.Workspace(["--ccb_explore_adf", "--quiet", "--dsjson"]))
    labels = [one.get_label() for one in parser.parse_json((tmp_path / "out.json").read_text())][5:]

    assert [(cost, *actions[0]) for cost, actions in (one.outcome for one in labels)] == [
        (-1.0, 2, pytest.approx(0.3)), (-2.0, 0, pytest.approx(1 / 3)),
    ]  # fmt: skip
    assert [one.explicit_included_actions for one in labels] == [None, [0, 1]]


def test_vw_reads_what_is_written(tmp_path):
    """VW's own reader: a line for each arm, the shown one with its cost and its probability."""
    vw = pytest.importorskip("vowpal_wabbit_next")
    log = write_log(tmp_path, [row(i, reward=float(i % 2), inclusion_probability=0.5) for i in range(4)])
    export_dsjson(log, tmp_path / "out.json")

    workspace = vw.Workspace(["--cb_adf", "--quiet", "--dsjson"])
    parser = vw.DSJsonFormatParser(workspace)
    examples = [parser.parse_json(line) for line in (tmp_path / "out.json").read_text().splitlines()]

    assert [len(one) for one in examples] == [5] * 4
    costs = [[cost for arm in one for cost in _costs(arm)] for one in examples]
    assert costs == [[(0.0, 0.25)], [(-1.0, 0.25)]] * 2


def _costs(example) -> list[tuple[float, float]]:
    label = example.get_label()
    found = getattr(label, "label", None)
    return [(found[1], found[2])] if found else []


def test_a_folder_with_decisions_is_not_written_into(tmp_path):
    (tmp_path / "log.json").write_text(REFERENCE_LINE)
    import_dsjson(tmp_path / "log.json", tmp_path / "log" / "theirs")

    with pytest.raises(BadInput, match="holds decisions already"):
        import_dsjson(tmp_path / "log.json", tmp_path / "log" / "theirs")
    with pytest.raises(BadInput, match="cannot be read"):
        import_dsjson(tmp_path / "nowhere.json", tmp_path / "log" / "other")
