"""The two trainers and what they are wired together from."""
