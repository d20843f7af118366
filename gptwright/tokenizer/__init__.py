"""Text to token ids and back: byte-level BPE, special tokens, the one chat renderer, token shards."""
