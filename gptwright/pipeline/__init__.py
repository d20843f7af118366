"""A recipe turned into a run: which stages are stale, in what order they go, and how they are wired together."""
