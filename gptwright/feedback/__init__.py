"""Judgements of answers, by people and by judges that stand in for them."""
