"""What the command line and its launcher refuse, as one tree.

::

    SidearmError
    └── CommandError
        ├── NoStoreBinary        no Redis or Valkey server >= 7 to be found
        ├── StoreAlreadyRunning  another process serves this data folder
        ├── StoreDidNotStart     the server ended, or did not answer in time
        ├── PortTaken            somebody else listens where the decision service should
        └── ProcessDied          a process that `sidearm up` started ended by itself
"""

from __future__ import annotations

from sidecar.contracts.errors import SidearmError


class CommandError(SidearmError):
    """A command cannot do what it was asked."""


class NoStoreBinary(CommandError):
    """No Redis or Valkey server of a sufficient version on this machine."""


class StoreAlreadyRunning(CommandError):
    """Another process serves this data folder."""


class StoreDidNotStart(CommandError):
    """The server ended by itself, or did not answer in time."""


class PortTaken(CommandError):
    """Somebody else listens where the decision service should."""


class ProcessDied(CommandError):
    """A child process ended without being asked to."""
