"""Webhooks out: what happens to an application's models is told to whoever asked for it.

One replica at a time looks for news and writes them into a stream of the store; every address has its place
in that stream, so that each is told of everything in order, again until it has heard. Standard Webhooks.
"""
