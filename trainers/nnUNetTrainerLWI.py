"""Both trainers, where nnU-Net looks for them by name."""

from nnunetv2_lwi.training.lookup import look_up


def __getattr__(name: str) -> type:
    return look_up(name)
