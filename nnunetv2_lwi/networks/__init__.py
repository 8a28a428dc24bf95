"""The hybrid networks that nnU-Net's plans can name: encoder, a list of features, decoder.

Importing this package imports neither MONAI nor timm: each network imports its blocks when it is built.
"""

from nnunetv2_lwi.networks.primus import Primus
from nnunetv2_lwi.networks.swin_unetr import SwinUNETR
from nnunetv2_lwi.networks.unetr import UNETR
from nnunetv2_lwi.networks.unetr_pp import UNETRPlusPlus

__all__ = ["UNETR", "Primus", "SwinUNETR", "UNETRPlusPlus"]
