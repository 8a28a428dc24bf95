"""The folder that ``nnUNet_extTrainer`` points at. The trainers are defined in ``nnunetv2_lwi.training``."""
