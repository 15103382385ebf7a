"""Events of others as rewards: CloudEvents, and what trackers such as Segment's send.

Both end at the one door of rewards, each under a key of its own, so that whoever sends an event again changes
nothing.
"""
