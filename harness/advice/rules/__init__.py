"""The rules, one file each, with the name ``RULE``; they are discovered here."""
