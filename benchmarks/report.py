"""What was measured, where and with which versions, as JSON and as a table."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.measure import Comparison, Findings
from nnunetv2_lwi.disk import write_json, write_text
from nnunetv2_lwi.markdown import table

PACKAGES = ("nnunetv2_lwi", "nnunetv2", "torch", "batchgeneratorsv2", "dynamic-network-architectures", "monai")


def describe_machine(device: torch.device) -> dict[str, object]:
    """Processor, cores, device, versions and commit."""
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else str(device),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "nnUNet_compile": os.environ.get("nnUNet_compile", "not set: nnU-Net compiles on a GPU"),
        "versions": {package: version(package) for package in PACKAGES},
        "commit": _commit(),
    }


def _commit() -> str:
    """Where the package lies in a checkout and git is there."""
    if shutil.which("git") is None:
        return "unknown"
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else []
    return models[0] if models else platform.processor() or platform.machine()


def compared(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table: median and, in brackets, minimum and maximum."""
    rows = [("what", "candidate", "baseline", "candidate", "baseline", "ratio", "goal")]
    for c in comparisons:
        limit = "at least" if c.more_is_better else "at most"
        goal = "" if c.goal is None else f"{limit} {c.goal:g}"
        values = (f"{value} {c.unit}" for value in (c.candidate_value, c.baseline_value))
        rows.append((c.name, c.candidate, c.baseline, *values, str(c.ratio), goal))
    return table(rows)


def write_report(folder: Path, machine: dict[str, object], findings: Findings) -> str:
    """Write ``benchmark.json`` and ``benchmark.md``; returns the latter's text."""
    write_json(folder / "benchmark.json", {"machine": machine, **asdict(findings)})
    blocks = ["\n".join(f"{key}: {value}" for key, value in machine.items())]
    blocks += [compared(findings.comparisons)] if findings.comparisons else []
    blocks += [f"{one.title}:\n\n{table([one.header, *one.rows])}" for one in findings.tables]
    blocks += ["\n".join(f"Left out: {reason}" for reason in findings.left_out)] if findings.left_out else []
    text = "\n\n".join(blocks) + "\n"
    write_text(folder / "benchmark.md", text)
    return text
