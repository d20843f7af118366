"""An OpenAI-compatible server over the one engine."""
