"""`python -m gptwright ...` is `gptwright ...`; torchrun starts it this way."""

from gptwright.cli.main import main

if __name__ == "__main__":
    main()
