"""``python -m benchmarks gpu``: what only a GPU can show, checked and measured on the one at hand, within minutes."""
