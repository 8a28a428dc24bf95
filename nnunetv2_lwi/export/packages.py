"""Which packages a plan's network comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OF_NNUNET = ("dynamic_network_architectures", "torch")
"""What every nnU-Net brings."""


def packages_beside_nnunet(architecture: Mapping[str, Any]) -> list[str]:
    """Names of those that a machine with nnU-Net alone may lack, of the network itself and of the parts that it is given.

    Args:
        architecture: of a resolved configuration.
    """
    parts = [architecture["arch_kwargs"].get(key) for key in architecture["_kw_requires_import"]]
    names = [architecture["network_class_name"], *(part for part in parts if isinstance(part, str))]
    return sorted({name.partition(".")[0] for name in names} - set(OF_NNUNET))
