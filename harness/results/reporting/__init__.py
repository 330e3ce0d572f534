"""Output of a run's records: results.json, the HTML report, the terminal summary, JUnit properties and Markdown.

Everything here depends on the records alone (``chart`` and ``events`` create two of them from a timeline), so that a
stored run can be rendered again on any machine, without its cluster.
"""
