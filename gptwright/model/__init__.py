"""The transformer of the Qwen3/Llama family, its heads, its KV cache, and its Hugging Face folder."""
