"""What a model is worth, in figures that carry their sample size and a 95% interval."""
