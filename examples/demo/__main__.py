"""``python -m examples.demo [--fast] [--data FOLDER]``: read this file first; one function a part."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from examples.demo.curve import write_curve
from examples.demo.estimates import estimates_table, write_reports
from examples.demo.fashion_phase import NAMES, FashionRun, run_fashion
from examples.demo.live import TOLD, models_table, segments_table, why_table
from examples.demo.screen import Screen, make_console
from examples.demo.shop_phase import Plan, ShopRun, run_shop
from examples.shop.figures import Tally, mean_rate, quantile, uniform_rate
from examples.shop.simulator import Shopper
from examples.shop.truth import Worth, best_arm, worth_of
from offline_eval.dataset import Window
from offline_eval.evaluate import Options, evaluate
from offline_eval.results import Evaluation
from offline_eval.target_policy import TargetPolicy, Uniform, greedy
from policy_learner.models.replay import replay
from sidecar.contracts.application import Application
from sidecar.contracts.errors import BadSettings, SidearmError
from sidecar.contracts.layout import DataFolder

FULL = Plan(sessions=20_000, per_second=300.0, seed=1)
FAST = Plan(sessions=8_000, per_second=400.0, seed=1)
_MARK = ".made-by-demo"


def main() -> int:
    """Both phases, replay, reports; the exit code."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    options = _options()
    screen = Screen(make_console())
    try:
        return run(screen, options.data, FAST if options.fast else FULL)
    except SidearmError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(screen: Screen, root: Path, plan: Plan) -> int:
    """The demo; 1 if a bit came out another way, 0 otherwise."""
    data, environ = fresh_folder(root), clean_environ()
    reports = root / "reports"

    screen.heading("Phase 1: a real fashion shop's log, imported, learnt from, evaluated")
    fashion = run_fashion(screen, data, environ)
    written = tell_fashion(screen, fashion, reports)

    screen.heading("Phase 2: shoppers live through HTTP, purchases late, the model learns")
    shop = run_shop(screen, data, environ, plan)
    written += tell_shop(screen, shop, data, reports)

    screen.heading("Replay: every decision drawn and scored again, every version trained again")
    same = [tell_replay(screen, one.application, data) for one in (fashion, shop)]
    screen.heading("Done; everything is stopped")
    for path in written:
        screen.say(f"  {path}")
    screen.say(f"  logs for the notebook and `sidearm evaluate`: {root / 'log'}")
    screen.say(learned_line(shop))
    return 0 if all(same) and shop.books == (0, 0) else 1


def fresh_folder(root: Path) -> DataFolder:
    """An empty data folder; only one that the demo made before is wiped.

    Raises:
        BadSettings: the folder holds something else.
    """
    if root.exists() and any(root.iterdir()):
        if not (root / _MARK).exists():
            raise BadSettings(
                f"{root} was not made by the demo: name another folder with --data, or remove it"
            )
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARK).touch()
    return DataFolder(root)


def clean_environ() -> dict[str, str]:
    """Ours, less what would send the demo to somebody's real store."""
    ours = ("REDIS_URL", "FEATURE_STORE_URL", "SIDEARM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def tell_fashion(screen: Screen, run: FashionRun, reports: Path) -> list[Path]:
    """What a real log of that size can say, and what it cannot."""
    imported, evaluation = run.imported, run.evaluation
    clicks = sum(imported.rewards.values())
    screen.say(
        f"{imported.rows:,} impressions with {clicks} clicks; learnt from the first {imported.learnt:,}"
        f" by time, evaluated on the other {imported.rows - imported.learnt:,}"
    )
    screen.table(estimates_table("clicks per 1,000 impressions, 95 % intervals", evaluation, NAMES))
    tell_verdicts(screen, evaluation, NAMES, logger="uniform")
    screen.say("(Bernoulli TS as simulated from the posteriors that came with the data)")
    return write_reports(evaluation, reports, "fashion")


def tell_verdicts(screen: Screen, evaluation: Evaluation, names: Mapping[str, str], logger: str = "") -> None:
    """What may be concluded, a sentence for each policy.

    ``logger`` is the candidate that made the log. It gets no verdict: its difference to itself is zero by
    construction, and an interval around the model's noise would call that a finding one time in twenty.
    """
    for result in evaluation.candidates:
        itself = "the logger itself: there is nothing to compare, and DR differs by its model's noise only"
        screen.say(f"  {names[result.candidate]}: {itself if result.candidate == logger else result.verdict}")


def tell_shop(screen: Screen, run: ShopRun, data: DataFolder, reports: Path) -> list[Path]:
    """What the live log says of policies whose truth is known, and the learning curve."""
    tally, middle = run.tally, run.half_way
    sources = Counter(one.source for one in tally.decided)
    screen.say(speed_line(tally))
    screen.say(
        f"answers: {dict(sources)}, refused: {dict(tally.failed)}; rewards: {dict(tally.receipts)}; "
        f"books: {run.books[0]} decisions and {run.books[1]} rewards missing"
    )
    recent = mean_rate([one.rewarded for one in tally.decided[-len(tally.decided) // 4 :]])
    control = uniform_rate(tally.decided, tally.n_arms)
    screen.say(f"reward a session: {recent} in the last quarter; control share (by propensities) {control}")
    window = Window(since=middle.at)
    candidates: list[TargetPolicy] = [greedy(middle.weights), Uniform()]
    evaluation = evaluate(data.log(run.application.name), candidates, window, Options(by=("segment",)))
    worth = worth_of(middle.weights, run.catalogue)
    names = {"greedy": f"greedy on version {middle.weights.header.version}", "uniform": "uniform"}
    truth = {"greedy": worth.greedy, "uniform": worth.uniform}
    title = "purchases per 1,000 sessions, from those after that version was frozen, 95 % intervals"
    screen.table(estimates_table(title, evaluation, names, truth))
    tell_verdicts(screen, evaluation, names)
    tell_live(screen, run, evaluation)
    written = write_reports(evaluation, reports, "shop")
    curve = reports / "shop-learning-curve.png"
    write_curve(run, curve)
    return [*written, curve]


def tell_live(screen: Screen, run: ShopRun, evaluation: Evaluation) -> None:
    """What was changed while the sessions came, and why the last of them was shown what it was."""
    screen.say(f"\nSince session {run.changed_at:,}, with nothing restarted, {TOLD}:")
    screen.table(segments_table(evaluation))
    screen.table(models_table(run.models))
    screen.say(f"Why {run.why['arm']!r} in the last session? {run.why['told']}")
    screen.table(why_table(run.why))


def speed_line(tally: Tally) -> str:
    """Rate and latency of the whole run, as the clients saw them."""
    latencies_ms = sorted(1000 * one.latency_s for one in tally.decided)
    seconds = tally.decided[-1].at_s - tally.decided[0].at_s
    return (
        f"{len(latencies_ms):,} decisions in {seconds:.0f} s ({len(latencies_ms) / seconds:.0f}/s):"
        f" p50 {quantile(latencies_ms, 0.5):.1f} ms, p99 {quantile(latencies_ms, 0.99):.1f} ms"
    )


def tell_replay(screen: Screen, application: Application, data: DataFolder) -> bool:
    """Whether every bit came out the same."""
    result = replay(application, data)
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(result.counts.items()))
    screen.say(f"{application.name}: {counts}; {sum(result.mismatches.values())} mismatches")
    for told in result.told:
        screen.say(f"  {told.what} {told.name}: {told.detail}")
    return result.clean


def learned_line(run: ShopRun) -> str:
    """In one line, what was learned."""
    worth: Worth = worth_of(run.final, run.catalogue)
    example = Shopper("student", 20, "android", returning=True)
    shown = best_arm(example, run.final, run.catalogue)
    return (
        f"Learned: greedy on version {run.final.header.version} sells {worth.greedy:.3f} a session;"
        f" uniform sells {worth.uniform:.3f}, nobody can sell more than {worth.best:.3f}:"
        f" {worth.share_of_gain:.0%} of what there is to gain."
        f" (A returning student on Android at 20:00 is shown {shown}.)"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--fast", action="store_true", default=os.environ.get("FAST", "") not in ("", "0"))
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="wiped at the start")
    return parser.parse_args()


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
