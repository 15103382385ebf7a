"""One estimator a file; this registry is their order in every table."""

from __future__ import annotations

from msgspec import Struct

from offline_eval.estimators.base import Estimator, plan_of
from offline_eval.estimators.beta_ips import BETA_IPS
from offline_eval.estimators.clipped_dr import clipped_dr
from offline_eval.estimators.clipped_ips import clipped_ips
from offline_eval.estimators.dm import DM
from offline_eval.estimators.dr import DR
from offline_eval.estimators.ips import IPS
from offline_eval.estimators.on_policy import ON_POLICY
from offline_eval.estimators.optimistic_dr import optimistic_dr
from offline_eval.estimators.replay import REPLAY
from offline_eval.estimators.sndr import SNDR
from offline_eval.estimators.snips import SNIPS
from offline_eval.estimators.sub_gaussian_dr import sub_gaussian_dr
from offline_eval.estimators.sub_gaussian_ips import sub_gaussian_ips
from offline_eval.estimators.switch_dr import switch_dr

__all__ = ["ON_POLICY", "Estimator", "Limits", "estimators", "plan_of"]


class Limits(Struct, frozen=True):
    """At which limits the shrunk estimators are asked for; as many of each as wanted, in the same scan."""

    clip: tuple[float, ...] = (10.0,)
    """Of clipped IPS, each > 0."""
    sub_gaussian: tuple[float, ...] = (0.01,)
    """Of sub-Gaussian IPS, each in [0, 1]."""
    switch: tuple[float, ...] = (10.0,)
    """Of Switch-DR, each > 0."""
    optimistic: tuple[float, ...] = (10.0,)
    """Of DRos, each > 0."""
    clipped_dr: tuple[float, ...] = ()
    """Of clipped DR, each > 0."""
    sub_gaussian_dr: tuple[float, ...] = ()
    """Of sub-Gaussian DR, each in [0, 1]."""


def estimators(limits: Limits | None = None) -> tuple[Estimator, ...]:
    """Every estimator that there is, at these limits."""
    limits = limits or Limits()
    weighted = (*map(clipped_ips, limits.clip), *map(sub_gaussian_ips, limits.sub_gaussian), SNIPS, BETA_IPS)
    shrunk = (*map(switch_dr, limits.switch), *map(optimistic_dr, limits.optimistic))
    rarer = (*map(clipped_dr, limits.clipped_dr), *map(sub_gaussian_dr, limits.sub_gaussian_dr))
    return (IPS, *weighted, REPLAY, DM, DR, SNDR, *shrunk, *rarer)
