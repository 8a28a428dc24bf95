"""Nothing wrong is ever reused and nothing right thrown away: ``train`` in any order of kills, changes, moves and copies.

A model says which run each step's folder holds; nnU-Net's own command is replaced by its function in this process, real
trainers and real checkpoints included.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from nnunetv2.run.run_training import run_training_entry

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import read_checkpoint
from nnunetv2_lwi.jobs import execution
from nnunetv2_lwi.names import FINAL, STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.commands import external_trainers
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.nnunet.test_contents import rewrite
from tests.tiny_dataset import Options, TinyDataset, make_case, write_tiny_dataset

EPOCHS = 2
CASES = [f"case_{number}" for number in range(5)]
TRAINERS = (nnUNetTrainerLWIInit, nnUNetTrainerLWISeg)


class Killed(BaseException):
    """In the place of a signal: whatever is not written yet is lost."""


class Asked(NamedTuple):
    """What the user's folders ask for."""

    ratio: float = 0.4
    lr: float = 0.01
    batch_size: int = 2
    left_out: str = CASES[4]
    """The validation case."""
    version: int = 0
    """Of the image of case_1."""
    labels: int = 0
    """Version of the segmentation of case_2."""

    @property
    def of_step1(self) -> tuple[Any, ...]:
        """What step 1 depends on."""
        return (self.ratio, self.batch_size, self.left_out, self.version)


CHANGES = [
    *(("ratio", ratio) for ratio in (0.4, 0.6)),
    *(("lr", rate) for rate in (0.01, 0.02)),
    *(("batch_size", size) for size in (2, 3)),
    *(("left_out", case) for case in CASES[3:]),
    *(("version", version) for version in (0, 1)),
    *(("labels", version) for version in (0, 1)),
]
KILLED = st.sampled_from([None, None, STEP1_TRAINER, STEP2_TRAINER])


class Run(NamedTuple):
    """What a step's folder holds."""

    asked: Asked
    finished: bool


class AnyOrder(RuleBasedStateMachine):
    """The user, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(mkdtemp())
        self.monkeypatch = pytest.MonkeyPatch()
        self.dataset = write_tiny_dataset(self.root / "a", batch_size=2)
        self.asked = Asked()
        self.step1: Run | None = None
        self.step2: Run | None = None
        self.moves = 0
        self.point_at(self.root / "a")
        for cls in TRAINERS:
            self.monkeypatch.setattr(cls, "perform_actual_validation", validate)
        self.monkeypatch.setattr(nnUNetTrainerLWIInit, "_begin_probes", lambda _: None)
        self.monkeypatch.setattr(nnUNetTrainerLWIInit, "_write_picture", lambda _: None)
        self.monkeypatch.setattr(execution, "run_command", in_this_process)
        self.monkeypatch.setenv("nnUNet_n_proc_DA", "0")
        self.monkeypatch.setenv("nnUNet_extTrainer", external_trainers())
        self.write()
        self.preprocess_a_segmentation()

    def teardown(self) -> None:
        """Whatever was asked."""
        self.monkeypatch.undo()
        shutil.rmtree(self.root)

    def point_at(self, root: Path) -> None:
        """nnU-Net's folders."""
        self.dataset = TinyDataset(root / "preprocessed", root / "results", self.dataset.plans, self.dataset.dataset_json)
        self.monkeypatch.setenv("nnUNet_preprocessed", str(self.dataset.preprocessed))
        self.monkeypatch.setenv("nnUNet_results", str(self.dataset.results))

    def write(self) -> None:
        """Plans and split as they are asked for."""
        plans = deepcopy(self.dataset.plans)
        configuration = plans["configurations"]["3d_fullres"]
        configuration["batch_size"] = self.asked.batch_size
        configuration["lwi"] = {
            "masking": {"ratio": self.asked.ratio},
            "init": {"epochs": EPOCHS},
            "seg": {"epochs": EPOCHS, "lr": self.asked.lr},
            "iterations_per_epoch": 1,
            "val_iterations_per_epoch": 1,
            "seed": 1,
        }
        save_json(plans, str(self.dataset.folder / "nnUNetPlans.json"), sort_keys=False)
        split = {"train": [case for case in CASES if case != self.asked.left_out], "val": [self.asked.left_out]}
        save_json([split], str(self.dataset.folder / "splits_final.json"))

    @initialize(killed_in=KILLED)
    def begin(self, killed_in: str | None) -> None:
        """With a training, or a part of one."""
        self.train(killed_in)

    @rule(change=st.sampled_from(CHANGES), killed_in=KILLED)
    def change_something_and_train(self, change: tuple[str, Any], killed_in: str | None) -> None:
        """Or change it back."""
        self.asked = self.asked._replace(**dict([change]))
        self.write()
        if change[0] == "version":
            self.preprocess_an_image()
        if change[0] == "labels":
            self.preprocess_a_segmentation()
        self.train(killed_in)

    def preprocess_an_image(self) -> None:
        """Of the version that is asked for."""
        image, segmentation = make_case(1, Options())
        rewrite(self.dataset.cases, CASES[1], image + 0.3 * self.asked.version * image**2, segmentation)

    def preprocess_a_segmentation(self) -> None:
        """Of the version that is asked for."""
        image, segmentation = make_case(2, Options())
        segmentation[0, 3, 3, :5] = 1 + self.asked.labels
        rewrite(self.dataset.cases, CASES[2], image, segmentation)

    @rule()
    def add_a_case_that_no_fold_has(self) -> None:
        """It changes nothing."""
        for ending in (".b2nd", "_seg.b2nd", ".pkl"):
            shutil.copy(self.dataset.cases / f"case_0{ending}", self.dataset.cases / f"later{ending}")

    @rule()
    def move_everything(self) -> None:
        """To another disk; times of files are lost."""
        self.moves += 1
        old, new = self.dataset.preprocessed.parent, self.root / f"moved_{self.moves}"
        shutil.copytree(old, new, copy_function=shutil.copyfile)
        shutil.rmtree(old)
        self.point_at(new)

    @precondition(lambda self: self.step1 or self.step2)
    @rule(trainer=st.sampled_from([STEP1_TRAINER, STEP2_TRAINER]))
    def move_a_step_away(self, trainer: str) -> None:
        """As the messages say."""
        shutil.rmtree(self.dataset.output_folder(trainer), ignore_errors=True)
        if trainer == STEP1_TRAINER:
            self.step1 = None
        else:
            self.step2 = None

    @rule(killed_in=KILLED)
    def train(self, killed_in: str | None) -> None:
        """The command must refuse what the model refuses, and do, or go on with, everything else."""
        refused = self.is_refused()
        before = snapshot(self.dataset.results)
        ended = outcome_of_train(killed_in)
        state = f"asked for {self.asked}; step 1: {self.step1}; step 2: {self.step2}; told: {ended}"
        assert isinstance(ended, UserError) == refused, state
        if refused:
            assert snapshot(self.dataset.results) == before, f"a refused command changes nothing; {state}"
            return
        self.note(killed_in if isinstance(ended, Killed) else None)
        self.compare_with_files()

    def is_refused(self) -> bool:
        """Step 2's run decides once it has begun; before, step 1's."""
        if self.step2 is not None:
            return self.step2.asked != self.asked
        return self.step1 is not None and self.step1.asked.of_step1 != self.asked.of_step1

    def note(self, killed_in: str | None) -> None:
        """What the folders hold after a command that was not refused."""
        if self.step2 is None and not (self.step1 and self.step1.finished):
            self.step1 = Run(self.asked, finished=killed_in != STEP1_TRAINER)
            if killed_in == STEP1_TRAINER:
                return
        if self.step2 is None or not self.step2.finished:
            self.step2 = Run(self.asked, finished=killed_in != STEP2_TRAINER)

    def compare_with_files(self) -> None:
        """What was to be finished is, with every epoch once, on the data that were asked for."""
        for trainer, run in ((STEP1_TRAINER, self.step1), (STEP2_TRAINER, self.step2)):
            final = self.dataset.output_folder(trainer) / FINAL
            assert final.is_file() == bool(run and run.finished)
            if run and run.finished:
                content = read_checkpoint(final)
                assert len(content["logging"]["train_losses"]) == EPOCHS == content["current_epoch"]
                assert content["lwi"]["run"]["val"] == [run.asked.left_out]
                assert content["lwi"]["run"]["plan"]["batch_size"] == run.asked.batch_size


def outcome_of_train(killed_in: str | None) -> BaseException | None:
    """What ended the command, if anything did."""
    try:
        with killed(killed_in):
            main(["train", "999", "3d_fullres", "0", "-device", "cpu"])
    except (UserError, Killed) as error:
        return error
    return None


def validate(trainer: Any, save_probabilities: bool = False) -> None:
    """A summary, as nnU-Net leaves one."""
    folder = Path(trainer.output_folder) / "validation"
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps({}))


def in_this_process(command: list[str], environment: Any) -> int:
    """nnU-Net's command."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "argv", command)
        try:
            run_training_entry()
        except UserError:
            return 1
        finally:
            torch.set_num_threads(threads)
    return 0


@contextmanager
def killed(trainer: str | None) -> Iterator[None]:
    """In the second epoch of a step, after the first one's checkpoint; where there is no such epoch, not at all."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for cls in TRAINERS:
            if cls.__name__ == trainer:
                begin = cls.on_train_epoch_start

                def die(self: Any, begin: Any = begin) -> None:
                    begin(self)
                    if self.current_epoch == 1 and self.resumed_from is None:
                        raise Killed

                monkeypatch.setattr(cls, "on_train_epoch_start", die)
        yield


def snapshot(folder: Path) -> dict[str, int]:
    """Files but the logs, which a refused step leaves none of either."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("sequences", "steps"), [pytest.param(4, 10, id="4"), pytest.param(200, 12, id="200", marks=pytest.mark.slow)]
)
def test_in_whatever_order(sequences: int, steps: int):
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=sequences < 100,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
