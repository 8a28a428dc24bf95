"""Names that users type and that stand in checkpoints and folders, and what a command takes where they name nothing."""

STEP1_TRAINER = "nnUNetTrainerLWIInit"
STEP2_TRAINER = "nnUNetTrainerLWISeg"

FITTED_CASES, TESTED_CASES = 6, 4
"""Of a linear probe, unless the user says otherwise."""
