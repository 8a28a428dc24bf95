"""Whether a step 1 fits a training, said on the screen."""

from __future__ import annotations

from pathlib import Path

from nnunetv2_lwi.handover.suitability import check_step1
from nnunetv2_lwi.nnunet.target import Target


def check_for(checkpoint: Path, target: Target) -> None:
    """Print origin, warnings and verdict.

    Raises:
        UserError: the checkpoint does not fit the target.
    """
    step1, verdict, transfer = check_step1(
        checkpoint, target.plans, target.configuration, target.dataset_json, target.cases()
    )
    scans = step1.provenance.get("scans_without_labels", 0)
    more = f" and {scans} scans without labels" if scans else ""
    cases = f"{len(step1.provenance['cases'])} cases{more}"
    print(f"{checkpoint}: step 1 of {step1.origin}; {cases}, {len(step1.weights)} tensors.")
    print("Versions: " + ", ".join(f"{name} {version}" for name, version in step1.provenance["versions"].items()) + ".")
    for warning in verdict.warnings:
        print(f"Warning: {warning}.")
    verdict.raise_if_refused(step1)
    print(f"It fits {target}. {transfer}")
