"""What was measured, where and with which versions, as JSON and as a table."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.measure import Comparison

PACKAGES = ("nnunetv2_lwi", "nnunetv2", "torch", "batchgeneratorsv2", "dynamic-network-architectures", "monai")


def describe_machine(device: torch.device) -> dict[str, object]:
    """Processor, cores, device, versions and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else str(device),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "commit": commit.stdout.strip() or "unknown",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def as_table(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table: median and, in brackets, minimum and maximum."""
    rows = ["| what | candidate | baseline | candidate | baseline | ratio | goal |", "|" + "---|" * 7]
    for c in comparisons:
        goal = "" if c.goal is None else f"{c.goal:g}"
        costs = f"{c.candidate_cost} {c.unit} | {c.baseline_cost} {c.unit}"
        rows.append(f"| {c.name} | {c.candidate} | {c.baseline} | {costs} | {c.ratio} | {goal} |")
    return "\n".join(rows)


def write_report(folder: Path, machine: dict[str, object], comparisons: Sequence[Comparison], left_out: list[str]) -> str:
    """Write ``benchmark.json`` and ``benchmark.md``; returns the latter's text."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "comparisons": [c.as_json() for c in comparisons], "left_out": left_out}
    (folder / "benchmark.json").write_text(json.dumps(content, indent=2) + "\n")
    lines = [f"{key}: {value}" for key, value in machine.items()]
    text = "\n".join([*lines, "", as_table(comparisons), "", *(f"Left out: {reason}" for reason in left_out), ""])
    (folder / "benchmark.md").write_text(text)
    return text
