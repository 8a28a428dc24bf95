"""Names that users type and that stand in checkpoints and folders."""

STEP1_TRAINER = "nnUNetTrainerLWIInit"
STEP2_TRAINER = "nnUNetTrainerLWISeg"
