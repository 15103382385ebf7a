"""What contracts and policy refuse, as one tree.

::

    SidearmError
    ├── ContractError
    │   ├── BadApplication    an application folder or its app.toml cannot be used
    │   ├── BadSettings       a process cannot start with these settings
    │   ├── BadId             a decision id is not one of ours
    │   ├── BadEvent          stored or received bytes are not the event they claim to be
    │   ├── BadWeights        a weights record is short, altered, not finite, or of another kind
    │   ├── BadManifest       a manifest of the Parquet log cannot be read
    │   ├── BadModel          a version of the weights is not known, or may not be served here
    │   ├── BadSegment        a segment of the traffic is not known, or cannot be one
    │   └── BadArms           a change that a catalogue cannot take
    └── PolicyError
        ├── NothingToScore    no eligible arm
        ├── UnknownCatalogue  scoring named a catalogue that was never sent
        ├── BadExploration    a scheme or its parameter is outside its range
        ├── BadAnswer         the model's own answer breaks the out-schema
        └── BadTable          a learner's table lacks a column, or holds what cannot be learnt from

A message says what was wrong, which value, and what is legal.
"""

from __future__ import annotations


class SidearmError(Exception):
    """Root of everything this platform raises on purpose."""


class ContractError(SidearmError, ValueError):
    """Bytes, names or files that break a contract."""


class BadApplication(ContractError):
    """The application folder or its ``app.toml`` cannot be used."""


class BadSettings(ContractError):
    """A process cannot start with these settings."""


class BadId(ContractError):
    """A decision id that this platform did not make."""


class BadEvent(ContractError):
    """Bytes that are not the event they claim to be."""


class BadWeights(ContractError):
    """A weights record that must not be served."""


class BadManifest(ContractError):
    """A manifest of the Parquet log that cannot be read, so that nobody knows which files count."""


class BadModel(ContractError):
    """A version of the weights that is not known, or that may not be served here."""


class BadSegment(ContractError):
    """A segment of the traffic that is not known, or that cannot be one."""


class BadArms(ContractError):
    """A change that a catalogue cannot take."""


class PolicyError(SidearmError, ValueError):
    """A policy was asked for something that has no answer."""


class NothingToScore(PolicyError):
    """No arm is eligible."""


class UnknownCatalogue(PolicyError):
    """A request named a catalogue that this process has not been sent yet."""


class BadExploration(PolicyError):
    """An exploration scheme or parameter outside its range."""


class BadAnswer(PolicyError):
    """What a model answers breaks the out-schema: the model is at fault, not who asked."""


class BadTable(PolicyError):
    """A table that a learner cannot be fitted on, or cannot predict for."""
