"""The sidecar's work on a row: beside bare numpy on the same arrays, and what of it is not the model."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.figures import Figure, median_of
from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.arm_features import column_of
from sidecar.contracts.catalogue import Catalogue, catalogue_of
from sidecar.contracts.hashing import CONSTANT_HASH
from sidecar.contracts.weights import Weights, WeightsHeader
from sidecar.contracts.wire import ScoreRequest, ScoreRow, decode_request, encode
from sidecar.policy.adapters import RowInput
from sidecar.policy.arm_table import compile_arms
from sidecar.policy.bulk import scores_of_block
from sidecar.policy.exploration import pmf_of
from sidecar.policy.features import compile_context
from sidecar.policy.held_arms import ArmTables
from sidecar.policy.model import PRIME, Scorer, scores_of
from sidecar.policy.models import Models
from sidecar.policy.out_schema import checked
from sidecar.policy.pipeline import answer, arms_for, assembled, score
from sidecar.policy.stacked import blocks
from sidecar.policy.table import Table, table_of

ARMS, FEATURES = 1_000, 20
ROWS = 64
"""Of a request: at 128 connections two batches are on their way, of 57 to 63 decisions in the mean. Half of
the shoppers sign in, and only they have a budget: a request has rows of two kinds."""
ROUNDS = 15
AT_MOST = 2.0
SHARE = 1 / 3


def figures(sidecar_us: float) -> list[Figure]:
    """1,000 arms x 20 context features beside bare numpy; schemas and adapters beside the whole of a row.

    Args:
        sidecar_us: processor time that the sidecar's process takes for a row when it is busy.
    """
    rng = np.random.default_rng(5)
    header = WeightsHeader(
        version=1, bits=18, interactions=("ca",), positions=("0-0",), trained_until_ms=1, epoch=1, examples=1
    )  # fmt: skip
    weights = Weights(header, rng.normal(size=1 << 18).astype(np.float32))
    return [_beside_numpy(weights), _beside_the_row(weights, sidecar_us)]


def _beside_numpy(weights: Weights) -> Figure:
    arms = compile_arms([Arm(f"a{n}", {"price": float(n), "brand": f"b{n % 9}"}) for n in range(ARMS)])
    context = compile_context({f"f{n}": float(n + 1) for n in range(FEATURES)})
    row = RowInput(context, arms)

    def bare() -> np.ndarray:
        """Hash-combine, gather, sum: nothing of an order, nothing rounded."""
        mask, values = (1 << 18) - 1, weights.values
        crossed = (context.hashes * PRIME)[:, None] ^ arms.hashes[:, None, :]
        products = context.values[:, None] * arms.values[:, None, :]
        shared = values[CONSTANT_HASH & mask] + (values[context.hashes & mask] * context.values).sum()
        own = (values[arms.hashes & mask] * arms.values).sum(axis=1)
        between: np.ndarray = shared + own + (values[crossed & mask] * products).sum(axis=(1, 2))
        return between

    ours, numpy = _micros(lambda: scores_of(row, weights)), _micros(bare)
    return Figure("serving.scoring_1000_arms", ours, "µs", numpy, "numpy on the same arrays", at_most=AT_MOST)


def _beside_the_row(weights: Weights, sidecar_us: float) -> Figure:
    """In-schema and in-adapter, out-adapter and out-schema, of all that a row takes.

    What is between them, the model's steps with the tables that they hand on, is told beside it.
    """
    catalogue = catalogue_of(
        tuple(Arm(f"a{n}", {"price": float(n), "brand": f"b{n % 3}"}) for n in range(20))
    )
    sent = ScoreRequest(tuple(_row(n) for n in range(ROWS)), (Exploration(),), catalogue.version)
    body, tables, models = encode(sent), ArmTables(), Models(weights, None, ())
    tables.of(catalogue)
    request, table = _adapted(body, tables)
    for step in assembled(request, models):
        table = step(table)

    whole = _micros(lambda: encode(score(decode_request(body), weights, tables))) / ROWS
    comes_in = _micros(lambda: _adapted(body, tables)) / ROWS
    goes_out = _micros(lambda: encode(checked(answer(table, request, models), table))) / ROWS
    facts = {
        "row_us": round(whole, 2),
        "in_us": round(comes_in, 2),
        "out_us": round(goes_out, 2),
        "steps_us": round(whole - comes_in - goes_out, 2),
        "model_us": round(_model_us(table, weights) / ROWS, 2),
        "rows": ROWS,
        "catalogue": _size(catalogue),
    }
    name = "serving.schemas_and_adapters"
    of = "µs of the sidecar's process a row"
    return Figure(name, comes_in + goes_out, "µs", sidecar_us, of, at_most=SHARE, facts=facts)


def _adapted(body: bytes, tables: ArmTables) -> tuple[ScoreRequest, Table]:
    request = decode_request(body)
    table = table_of(request.rows, arms_for(request, tables))
    for _ in blocks(table.rows, table.arms, {"ca"}):
        pass
    return request, table


def _model_us(table: Table, weights: Weights) -> float:
    """Scores and probabilities alone, of what the in-adapter made."""
    stacks = list(blocks(table.rows, table.arms, {"ca"}))
    return _micros(lambda: [pmf_of(scores_of_block(Scorer(weights), one), Exploration()) for one in stacks])


def _row(number: int) -> ScoreRow:
    context = {f"f{n}": float((number + n) % 7) if n % 2 else f"v{(number + n) % 5}" for n in range(10)}
    columns = {
        "scarce": column_of([(n + number) % 3 == 0 for n in range(20)]),
        "in_budget": column_of([(n * number) % 2 == 0 for n in range(20)]),
    }
    if number % 2:
        del columns["in_budget"]
    return ScoreRow(context, arm_features={name: one for name, one in columns.items() if one is not None})


def _size(catalogue: Catalogue) -> str:
    return f"{len(catalogue.arms)} arms"


def _micros(run: Callable[[], object], times: int = 20) -> float:
    """Processor time of one call, the median of some rounds."""
    run()
    seen = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            run()
        seen.append((time.process_time() - began) / times * 1e6)
    return median_of(seen)
