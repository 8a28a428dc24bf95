"""Names that users type and that stand in checkpoints and folders, and what a command takes where they name nothing."""

STEP1_TRAINER = "nnUNetTrainerLWIInit"
STEP2_TRAINER = "nnUNetTrainerLWISeg"

FINAL = "checkpoint_final.pth"
"""Of a finished training."""
IN_ORDER_OF_RESUMING = (FINAL, "checkpoint_latest.pth", "checkpoint_best.pth")
"""Which checkpoint of a folder nnU-Net's ``--c`` goes on from: the first that is there."""

FITTED_CASES, TESTED_CASES = 6, 4
"""Of a linear probe, unless the user says otherwise."""
