"""MinHash signatures of documents as long as a book.

Import it only where something is cleaned: it loads datatrove.
"""

from __future__ import annotations

import numpy as np
from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

PART = 8192


class BookSignature(MinhashDedupSignature):
    """datatrove's, made in parts: its table of every hash of every word takes more than a kilobyte a word."""

    def get_signature(self, shingles: np.ndarray) -> list[list[int]]:
        """The lowest value of each hash over all shingles, (N, 1), by bucket."""
        parts = range(0, len(shingles), PART)
        lowest = np.min([super(BookSignature, self).get_signature(shingles[at : at + PART]) for at in parts], axis=0)
        return [bucket.tolist() for bucket in lowest]
