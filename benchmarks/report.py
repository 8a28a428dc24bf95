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

from benchmarks.measure import Comparison, Findings, Table

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
        "nnUNet_compile": os.environ.get("nnUNet_compile", "not set: nnU-Net compiles on a GPU"),
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


def compared(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table: median and, in brackets, minimum and maximum."""
    rows = []
    for c in comparisons:
        limit = "at least" if c.more_is_better else "at most"
        goal = "" if c.goal is None else f"{limit} {c.goal:g}"
        values = (f"{value} {c.unit}" for value in (c.candidate_value, c.baseline_value))
        rows.append((c.name, c.candidate, c.baseline, *values, str(c.ratio), goal))
    return markdown(("what", "candidate", "baseline", "candidate", "baseline", "ratio", "goal"), rows)


def titled(table: Table) -> str:
    """A Markdown table below its title."""
    return f"{table.title}:\n\n{markdown(table.header, table.rows)}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_report(folder: Path, machine: dict[str, object], findings: Findings) -> str:
    """Write ``benchmark.json`` and ``benchmark.md``; returns the latter's text."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine,
        "comparisons": [comparison.as_json() for comparison in findings.comparisons],
        "tables": [table.as_json() for table in findings.tables],
        "left_out": findings.left_out,
    }
    (folder / "benchmark.json").write_text(json.dumps(content, indent=2) + "\n")
    blocks = ["\n".join(f"{key}: {value}" for key, value in machine.items())]
    blocks += [compared(findings.comparisons)] if findings.comparisons else []
    blocks += [titled(table) for table in findings.tables]
    blocks += ["\n".join(f"Left out: {reason}" for reason in findings.left_out)] if findings.left_out else []
    text = "\n\n".join(blocks) + "\n"
    (folder / "benchmark.md").write_text(text)
    return text
