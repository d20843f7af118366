"""Reading what people have: documents, conversations, prompts and comparisons; mixing and packing token streams."""
