"""Azure Personalizer's API, for clients that were written for it: rank, reward, activate, multi-slot.

An event is a session of ours whose decision the client calls by the event's id; each slot of a multi-slot
event is a decision of that session, called by the slot's id.
"""
