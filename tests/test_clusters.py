"""The scripts in docs/howto/clusters, run with stand-ins for SLURM's commands, for torchrun and for this package's own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "docs" / "howto" / "clusters"
NAMES = sorted(path.name for path in SCRIPTS.iterdir())
SLURM = {
    "SLURM_CPUS_PER_TASK": "48",
    "SLURM_ARRAY_JOB_ID": "77",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_JOB_ID": "78",
    "SLURM_NNODES": "2",
    "SLURM_JOB_NODELIST": "gpu[1-2]",
}
STAND_INS = {
    "srun": 'while [[ "$1" == --* ]]; do shift; done; exec "$@"',
    "scontrol": 'echo "scontrol $*" >> "$RECORD"; [ "$1" != show ] || printf "gpu1\\ngpu2\\n"',
    "torchrun": (
        'trap "echo asked >> $RECORD; sleep 1; exit 1" TERM\n'
        'echo "torchrun $*" >> "$RECORD"; while [ "$1" != --no-python ]; do shift; done; shift; "$@" || exit 1\n'
        '[ -z "${SIGNAL:-}" ] || { kill -"$SIGNAL" "$(cat "$RECORD.pid")"; sleep 20 > /dev/null 2>&1 & wait; }'
    ),
    "nnUNetv2_lwi": 'echo "nnUNetv2_lwi $* workers=$nnUNet_n_proc_DA" >> "$RECORD"; exit "$CODE"',
}


@pytest.fixture
def submit(tmp_path):
    """Runs a script; gives its exit code and what it called."""
    for name, body in STAND_INS.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def run(script: str, *words: str, code: int = 0, **more: str) -> tuple[int, list[str]]:
        record = tmp_path / "record"
        record.write_text("")
        own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RECORD": str(record), "CODE": str(code)}
        done = subprocess.run(
            ["bash", "-c", 'echo $$ > "$RECORD.pid"; exec bash "$@"', "-", str(SCRIPTS / script), *words],
            env={**os.environ, **SLURM, **own, **more},
            capture_output=True,
            check=False,
        )
        return done.returncode, record.read_text().splitlines()

    return run


def test_there_are_the_scripts_that_the_page_names():
    page = (SCRIPTS.parent / "clusters.md").read_text()
    assert set(re.findall(r"\(clusters/([\w.]+)\)", page)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_bash_and_asks_for_a_signal_before_its_end(name):
    text = (SCRIPTS / name).read_text()
    assert text.startswith("#!/bin/bash\n") and re.search(r"^#SBATCH --signal=(B:)?USR1@300$", text, re.MULTILINE)
    assert "#SBATCH --requeue" in text
    subprocess.run(["bash", "-n", str(SCRIPTS / name)], check=True)


@pytest.mark.parametrize(("script", "subcommand"), [("folds.sbatch", "train"), ("compare.sbatch", "compare")])
def test_an_array_job_is_queued_again_where_it_was_asked_to_end_and_only_there(submit, script, subcommand):
    called = f"nnUNetv2_lwi {subcommand} 4 3d_fullres workers=47"
    for code in (75, 138, 143):
        assert submit(script, "4", "3d_fullres", code=code) == (0, [called, "scontrol requeue 77_3"])
    for code in (0, 1, 2):
        assert submit(script, "4", "3d_fullres", code=code) == (code, [called])


def test_several_machines_are_joined_by_torchrun(submit):
    words = ("several_gpus.sbatch", "4", "3d_fullres", "0")
    exit_code, calls = submit(*words)
    assert exit_code == 0 and "nnUNetv2_lwi train 4 3d_fullres 0 workers=11" in calls
    (torchrun,) = [call for call in calls if call.startswith("torchrun")]
    for option in ("--nnodes=2", "--nproc-per-node=4", "--rdzv-endpoint=gpu1:20078", "--rdzv-id=78", "--max-restarts=3"):
        assert option in torchrun


@pytest.mark.parametrize("signal", ["USR1", "TERM"])
def test_several_machines_are_queued_again_where_they_were_asked_to_end_and_only_there(submit, signal):
    """What they had to save is saved before: the script waits for the launcher."""
    words = ("several_gpus.sbatch", "4", "3d_fullres", "0")
    exit_code, calls = submit(*words, SIGNAL=signal)
    assert exit_code == 0 and calls[-2:] == ["asked", "scontrol requeue 78"]
    exit_code, calls = submit(*words, code=1)
    assert exit_code == 1 and not any("requeue" in call for call in calls)
