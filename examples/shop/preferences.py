"""What shoppers like: the frozen parameters of the simulator, in log-odds of a purchase.

The best product depends on the segment, the hour, the device and on whether the shopper has been here
before, all at once: a policy that ignores the context can earn little more than a uniform one.
"""

from __future__ import annotations

BASE = -3.3
"""A shopper with no opinion buys at odds of e**-3.3: 3.6 %."""

SEGMENT_CATEGORY: dict[str, dict[str, float]] = {
    "student": {"shoes": 1.7, "coats": -0.4, "books": 0.5, "toys": -0.8, "garden": -1.2},
    "parent": {"shoes": -0.5, "coats": 0.1, "books": -0.2, "toys": 1.8, "garden": 0.0},
    "professional": {"shoes": 0.2, "coats": 1.6, "books": 0.3, "toys": -1.0, "garden": -0.4},
    "retired": {"shoes": -0.8, "coats": 0.0, "books": 0.6, "toys": 0.1, "garden": 1.8},
    "guest": {"shoes": 0.1, "coats": 0.0, "books": 1.1, "toys": 0.0, "garden": -0.1},
}
"""Who likes what. Guests have no profile; they are the fallback of the profile's fetch."""

HOUR_CATEGORY: dict[str, dict[str, float]] = {
    "night": {"shoes": -0.1, "coats": -0.2, "books": 1.3, "toys": -0.5, "garden": -0.6},
    "morning": {"shoes": 0.2, "coats": 0.1, "books": -0.2, "toys": 0.0, "garden": 0.6},
    "afternoon": {"shoes": 0.1, "coats": 0.1, "books": -0.3, "toys": 0.4, "garden": 0.2},
    "evening": {"shoes": 0.5, "coats": 0.3, "books": 0.3, "toys": -0.1, "garden": -0.4},
}

DEVICE_PRICE: dict[str, dict[str, float]] = {
    "ios": {"low": -0.4, "high": 0.7},
    "android": {"low": 0.6, "high": -0.5},
    "web": {"low": 0.1, "high": 0.1},
}

RETURNING_BRAND: dict[bool, dict[str, float]] = {
    True: {"acme": 0.6, "north": -0.2},
    False: {"acme": -0.3, "north": 0.3},
}
"""Those who came back, came back for the house brand."""

RETURNING_NEW_IN: dict[bool, dict[bool, float]] = {
    True: {True: 0.3, False: -0.1},
    False: {True: 0.0, False: 0.0},
}

DEVICES: dict[str, float] = {"ios": 0.35, "android": 0.4, "web": 0.25}
"""Share of the sessions."""

HOURS: tuple[float, ...] = (
    *(0.012, 0.008, 0.006, 0.005, 0.006, 0.010),  # night, 0 to 5
    *(0.022, 0.036, 0.046, 0.050, 0.050, 0.050),  # morning, 6 to 11
    *(0.052, 0.050, 0.048, 0.048, 0.050, 0.055),  # afternoon, 12 to 17
    *(0.065, 0.080, 0.085, 0.078, 0.058, 0.030),  # evening, 18 to 23
)
"""Share of the sessions that come in each hour of the day; they sum to one."""

GUESTS = 0.2
"""Share of sessions by shoppers without a profile; the others are spread evenly over the profiles."""

RETURNING: dict[bool, float] = {True: 0.55, False: 0.45}
"""Share of returning sessions, whoever comes."""
