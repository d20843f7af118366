"""The one generation engine: it samples during training, rolls out for RL, answers in evaluation and talks in chat."""
