"""Benchmarks that anyone can run: ``python -m benchmarks`` measures everything side by side and prints ratios."""
