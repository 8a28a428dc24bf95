"""Trainings as jobs: both steps, several folds, in one process, in a group of them or on a cluster, and how they stand."""
