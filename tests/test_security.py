"""Nothing that a stranger sends is run: no unpickling, JSON by json, networks by the plan alone.

That each way of reading a checkpoint refuses a hostile one is in tests/bad_input.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import nnunetv2_lwi
from nnunetv2_lwi.errors import UserError
from tests.bad_input.hostile_rows import hostile
from tests.bad_input.table import World

PACKAGE = Path(nnunetv2_lwi.__file__).parent
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "trainers").glob("*.py")])

RUNS_WHAT_IT_READS = {
    "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "pickle.Unpickler", "load_pickle", "joblib.load",
    "dill.load", "dill.loads", "torch.jit.load", "torch.hub.load", "yaml.load", "shelve.open", "marshal.loads",
}  # fmt: skip
IMPORTS_BY_NAME = {"pydoc.locate": {"configuration.py"}, "importlib.import_module": {"main.py"}}
"""The network that the plan names; our own subcommands."""


def calls(source: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_the_package_calls_nothing_that_runs_what_it_reads():
    assert len(SOURCES) > 40
    for source in SOURCES:
        for name, call in calls(source):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert name not in RUNS_WHAT_IT_READS, f"{source}: {name}"
            assert name != "torch.load" or keywords.get("weights_only") == "True", source
            assert name not in ("np.load", "numpy.load") or "allow_pickle" not in keywords, source
            assert source.name in IMPORTS_BY_NAME.get(name, {source.name}), f"{source}: {name}"


def test_the_hostile_checkpoint_of_the_table_is_hostile(world: World):
    """Unpickled, it creates its file; else the table would prove nothing."""
    path, trace = hostile(world), world.root / "trace"
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_the_network_that_a_checkpoint_names_is_not_imported(world: World):
    trace = world.root / "imported"
    (world.root / "hostile_network.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Net: pass\n")
    world.monkeypatch.syspath_prepend(world.root)
    content = torch.load(world.file(), weights_only=True)
    content["lwi"]["digest"]["architecture"]["network_class_name"] = "hostile_network.Net"
    content["init_args"]["plans"]["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = (
        "hostile_network.Net"
    )
    torch.save(content, world.root / "given.pth")
    with pytest.raises(UserError, match=r"hostile_network\.Net"):
        world.check(world.root / "given.pth")()
    assert not trace.exists()
    __import__("hostile_network")
    assert trace.exists()


def test_check_tells_of_code_before_nnunet_would_run_it(world: World):
    """What the documentation advises for a file from a stranger."""
    with pytest.raises(UserError, match="would run code that is not known to be safe"):
        world.check(hostile(world))()
    assert not (world.root / "trace").exists()
