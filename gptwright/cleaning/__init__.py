"""Raw documents to documents worth reading: quality, duplicates, personal data, contamination; every removal has a reason.

The work runs on datatrove (extra `data`), which is imported only when something is cleaned.
"""
