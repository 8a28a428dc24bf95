"""Data sets: the generated phantom, BTCV, published splits, tables of Dice."""
