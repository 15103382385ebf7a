"""One estimator a file; this registry is their order in every table."""

from __future__ import annotations

from offline_eval.estimators.base import Estimator
from offline_eval.estimators.beta_ips import BETA_IPS
from offline_eval.estimators.clipped_ips import clipped_ips
from offline_eval.estimators.dm import DM
from offline_eval.estimators.dr import DR
from offline_eval.estimators.ips import IPS
from offline_eval.estimators.on_policy import ON_POLICY
from offline_eval.estimators.sndr import SNDR
from offline_eval.estimators.snips import SNIPS

__all__ = ["ON_POLICY", "Estimator", "estimators"]


def estimators(clip_limits: tuple[float, ...]) -> tuple[Estimator, ...]:
    """Every estimator that one scan with these clip limits supports."""
    return (IPS, *map(clipped_ips, clip_limits), SNIPS, BETA_IPS, DM, DR, SNDR)
