"""Small parts without a domain: clocks, files, documents, errors, waiting."""
