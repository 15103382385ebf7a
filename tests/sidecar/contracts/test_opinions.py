"""What each model said of a decision, for people."""

from __future__ import annotations

import random

import msgspec
import numpy as np

from sidecar.contracts.application import Arm, Exploration
from sidecar.contracts.events import Candidate, Shadow
from sidecar.contracts.opinions import Opinion, opinions
from tests.parity.generated import decision

ARMS = (Arm("a"), Arm("b"))
LOW, HIGH = (np.array(values, "<f4").tobytes() for values in ((0.5, 0.25), (0.25, 0.5)))


def test_the_official_one_is_first_and_the_silent_are_last():
    event = msgspec.structs.replace(
        decision(random.Random(1), {}, ARMS),
        source="model",
        policy="champion",
        model_version=7,
        scores=LOW,
        official_probability=0.8,
        candidates=(Candidate("bold", 3, 0.2, Exploration(), HIGH),),
        shadows=(Shadow("dark", 4, HIGH), Shadow("torn", 5, HIGH[:4])),
        missing=("late",),
    )
    assert opinions(event, ("a", "b")) == [
        Opinion(model="champion", version=7, chance=0.8, preferred="a"),
        Opinion(model="bold", version=3, chance=0.2, preferred="b"),
        Opinion(model="dark", version=4, chance=0.0, preferred="b"),
        Opinion(model="torn", version=5, chance=0.0, preferred=None),
        Opinion(model="late", version=None, chance=None, preferred=None),
    ]
    assert not opinions(msgspec.structs.replace(event, source="pre_policy"), ("a", "b"))
