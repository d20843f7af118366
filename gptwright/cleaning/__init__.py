"""Raw documents to documents worth reading: quality, duplicates, personal data, contamination; with a reason for each.

The work runs on datatrove (extra `data`), which is imported only when something is cleaned.
"""
