"""Two runs held against each other: better, worse, or not told apart. A pure reading of records.

The unit is the attempt: what is compared is how one attempt after another came out, never the thousands of requests
within one, since those of one outage are not independent of each other and would make any two outages "significantly"
different. So single runs cannot be told apart, whatever they show; repeats can.
"""
