"""Each mistake is one line, the one that docs/reference/errors.md has, and exit code 1; nothing is written."""

from __future__ import annotations

import re
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.settings import LWISettings, as_json, flatten
from tests.bad_input import checkpoints_rows, export_rows, hostile_rows, plans_rows, scans_rows, settings_rows, training_rows
from tests.bad_input.table import ROWS, Row, World

assert checkpoints_rows and export_rows and hostile_rows and plans_rows and scans_rows and settings_rows and training_rows

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"


def documented_rows() -> list[tuple[str, str]]:
    """What was wrong, and what the user sees, of every row of the documentation's tables."""
    cells = re.findall(r"^\| (.+?) \| `(.+)` \|$", DOCUMENTATION.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [(wrong.replace("`", ""), sees) for wrong, sees in cells]


def as_pattern(sees: str) -> str:
    """Placeholders ``<...>`` stand for anything; the rest is literal."""
    return "".join(".*" if part.startswith("<") else re.escape(part) for part in re.split(r"(<[^<>]+>)", sees))


DOCUMENTED = dict(documented_rows())


def snapshot(root: Path) -> dict[str, tuple[bytes, int] | None]:
    """Every file with its content and time, every folder; but for what was read of the data, which is kept beside them."""
    paths = {str(path.relative_to(root)): path for path in root.rglob("*") if "__pycache__" not in path.parts}
    paths = {name: path for name, path in paths.items() if not name.endswith("_contents_lwi.json")}
    return {name: (p.read_bytes(), p.stat().st_mtime_ns) if p.is_file() else None for name, p in paths.items()}


def without_results(files: dict[str, Any]) -> dict[str, Any]:
    """The data, where a run that was stopped while training has written its log and checkpoints."""
    return {name: held for name, held in files.items() if not name.startswith("results")}


def require_unspoiled_checkpoints(root: Path) -> None:
    """The checkpoints of epochs that went well stand, and there are no others."""
    for path in (root / "results").rglob("*.pth"):
        content = torch.load(path, weights_only=True)
        assert all(tensor.isfinite().all() for tensor in content["network_weights"].values()), path
        assert content["current_epoch"] <= len(content["logging"]["val_losses"])
        assert all(map(isfinite, content["logging"]["train_losses"] + content["logging"]["val_losses"]))


def test_the_documentation_has_every_mistake_once_and_no_other():
    wrongs = [wrong for wrong, _ in documented_rows()]
    assert sorted(wrongs) == sorted({row.wrong for row in ROWS})
    assert len(wrongs) >= 40


def test_every_setting_is_tried_out_of_range():
    tried = {*settings_rows.OUT_OF_RANGE}
    tried |= {f"{step}.{key}" for step in ("init", "seg") for key in settings_rows.OF_BOTH_STEPS}
    assert tried == flatten(as_json(LWISettings())).keys()


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.wrong} [{row.case}]" for row in ROWS])
@pytest.mark.filterwarnings("ignore:Detected old nnU-Net plans format")
def test_one_line_exit_code_1_and_nothing_written(row: Row, world: World, capfd: pytest.CaptureFixture[str]):
    act = row.arrange(world)
    before = snapshot(world.root)
    with pytest.raises(UserError) as error:
        act()
    message = error.value.message.removeprefix("nnunetv2_lwi: ")
    assert error.value.code == f"nnunetv2_lwi: {message}" and "\n" not in message
    assert re.fullmatch(as_pattern(DOCUMENTED[row.wrong]), message), message
    assert all(shown in message for shown in row.shows), message
    after = snapshot(world.root)
    if row.late:
        require_unspoiled_checkpoints(world.root)
        before, after = without_results(before), without_results(after)
    assert after == before
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
