"""From a run's records to what people and machines read: results.json, the report, the terminal, JUnit, Markdown.

Everything here is a pure reading of records (``chart`` and ``events`` make two of those records from a timeline), so
that any stored run can be rendered again, anywhere, without the cluster that it ran on.
"""
