"""One training step and one loop for every stage that follows a gradient, with checkpoints that resume to the same
bits.
"""
