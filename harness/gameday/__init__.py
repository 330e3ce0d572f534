"""Game days: which experiments run, in which order, how often, in how much time, and one verdict for all of them.

``declaration`` has the fields of a ``kind: GameDay`` file, ``loading`` reads it, ``selection`` finds its experiments,
``choice`` decides which of them fit a time budget, by what ``history`` holds of earlier runs. ``day`` has the facts of
a day that runs; ``rules`` is where other parts act before the day, before and after each experiment, and after the day.
"""
