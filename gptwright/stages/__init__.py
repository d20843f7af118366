"""The stages: each reads what earlier ones wrote, trains or collects, and leaves one folder."""
