"""Comparison of two runs: each measure is better, worse or not distinguishable. Depends on the records alone.

The unit of comparison is the attempt and not the request: the thousands of requests in one outage are not independent,
so any two outages would be "significantly" different. Two single attempts are therefore never distinguishable; repeats
are needed.
"""
