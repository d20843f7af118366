"""gptwright builds a GPT assistant from raw text: pretrain, finetune, reward model, PPO, and round again."""

__version__ = "0.1.0"
