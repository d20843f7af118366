"""Pure tensor maths: every formula of the project has its one home here, and knows no tokenizer, config or logger."""
