"""The replay of recorded requests: access logs and HAR files, with their times."""
