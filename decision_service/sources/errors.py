"""What sources of features raise, as one tree; each is also what the feature graph knows such a failure as.

::

    SidearmError
    ├── SourceError
    │   ├── RowMissing        no row for that key, or HTTP 404 (also a ``KeyMissing``, a ``KeyError``)
    │   ├── SourceAway        no connection, no answer in time, 5xx: try again (also a ``TransientError``)
    │   ├── SourceRefused     the source will not answer this question: 4xx, wrong password, wrong type of key
    │   ├── BadAnswer         the answer is too long, no JSON, of another type, a redirect
    │   ├── TableNotLoaded    the store has no such table, or its time to live is over
    │   └── BadKey            a key that is no text or whole number, or is too long, or has too few parts
    └── BadSource             a source cannot be opened like that (also a ``BadSettings``)
        └── BadTable          a file that is no table, or whose key columns are no key

Messages name the source and the table, never the customer whose key it was.
"""

from __future__ import annotations

from feature_graph import KeyMissing, TransientError
from sidecar.contracts.errors import BadSettings, SidearmError


class SourceError(SidearmError):
    """Why a source gave no value."""


class RowMissing(SourceError, KeyMissing):
    """There is nothing under that key."""


class SourceAway(SourceError, TransientError):
    """No connection, no answer in time, or an answer that says: later."""


class SourceRefused(SourceError):
    """The source will not answer this question, however often it is asked."""


class BadAnswer(SourceError):
    """An answer that is not what was asked for."""


class TableNotLoaded(SourceError):
    """The store has no such table."""


class BadKey(SourceError, ValueError):
    """What was asked for cannot be a key."""


class BadSource(BadSettings):
    """A source cannot be opened with these arguments."""


class BadTable(BadSource):
    """A file that cannot serve as a table of features."""
