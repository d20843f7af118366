"""A task is prompts and how an answer is scored; evaluation and verifiable rewards read the same ones."""
