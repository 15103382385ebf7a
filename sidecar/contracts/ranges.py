"""What numbers and names of the config may be, where several sections and requests say the same."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
Temperature = Annotated[float, Meta(ge=1e-6, le=1e9)]
Gamma = Annotated[float, Meta(ge=0.0, le=1e9)]
