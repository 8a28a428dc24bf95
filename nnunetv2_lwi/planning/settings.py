"""The ``lwi`` block of a plan's configuration: every setting, its default and what is allowed.

Each field carries its rule in its metadata, so that reading, checking and the message about a wrong value have one source.
The set of keys is closed: an unknown key is an error. What a plan leaves open a recipe decides while the block is read, so
that settings in hand are always decided.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from typing import Any, TypeVar

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.recipes import PAPERS_VALUES, RECIPES, Decision, decide, recipe_of

OPTIMIZERS = ("SGD", "AdamW")
SCHEDULES = ("poly", "cosine", "constant")
MASKING_STRATEGIES = ("random", "tube")
STARTS = ("step1", "random")
INITIALIZATIONS = (
    "network", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "trunc_normal",
)  # fmt: skip
HANDED_OVER = ("encoder", "all_but_last_two_stages", "all_but_last_stage", "network")
ORDER_HEADS = ("linear", "mlp")
OUTPUTS = ("full_resolution", "all")
AUGMENTATION_DEVICES = ("auto", "cpu")

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Rule:
    """What a value must be: a predicate and the words that say it."""

    allowed: str
    holds: Callable[[Any], bool]

    def or_null(self) -> Rule:
        """The same rule, or null."""
        return Rule(f"{self.allowed}, or null", lambda value: value is None or self.holds(value))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_int(value) or isinstance(value, float)) and isfinite(value)


def is_list_of(value: Any, entry: Callable[[Any], bool]) -> bool:
    """Whether a value is a list whose entries all keep a rule."""
    return isinstance(value, (list, tuple)) and all(map(entry, value))


def whole_number(least: int) -> Rule:
    """A whole number from ``least`` up."""
    return Rule(f"a whole number, at least {least}", lambda value: _is_int(value) and value >= least)


def one_of(names: tuple[str, ...]) -> Rule:
    """One of a few names."""
    return Rule("one of " + ", ".join(names), lambda value: isinstance(value, str) and value in names)


NOT_NEGATIVE = Rule("a number, at least 0", lambda value: _is_number(value) and value >= 0)
POSITIVE = Rule("a number above 0", lambda value: _is_number(value) and value > 0)
FRACTION = Rule("a number, at least 0 and below 1", lambda value: _is_number(value) and 0 <= value < 1)
TRUE_OR_FALSE = Rule("true or false", lambda value: isinstance(value, bool))
BETWEEN_0_AND_1 = Rule("a number above 0 and below 1", lambda value: _is_number(value) and 0 < value < 1)
TRUE_FALSE_OR_SHARE = Rule(
    "true, false, or a share above 0 and below 1",
    lambda value: TRUE_OR_FALSE.holds(value) or BETWEEN_0_AND_1.holds(value),
)
BETAS = Rule("two numbers, at least 0 and below 1", lambda value: is_list_of(value, FRACTION.holds) and len(value) == 2)
EDGES = Rule("three whole numbers, at least 1", lambda value: is_list_of(value, whole_number(1).holds) and len(value) == 3)
LEVELS = Rule(
    "a list of different whole numbers, at least 0, and not empty",
    lambda value: is_list_of(value, whole_number(0).holds) and len(set(value)) == len(value) > 0,
)


def setting(default: Any, rule: Rule) -> Any:
    """A dataclass field with its rule."""
    return field(default=default, metadata={"rule": rule})


def open_setting(key: str, rule: Rule) -> Any:
    """A field that a recipe decides where the plan does not; without a plan it is the paper's."""
    value = PAPERS_VALUES[key]
    return field(default=tuple(value) if isinstance(value, list) else value, metadata={"rule": rule, "key": key})


@dataclass(frozen=True)
class MaskingSettings:
    """What is masked in step 1 (paper, section III-B)."""

    strategy: str = setting("random", one_of(MASKING_STRATEGIES))
    """``random`` draws cells in 3D; ``tube`` draws them in (H, W) and repeats them along depth."""
    ratio: float = setting(0.4, FRACTION)
    """Share of the cells that is zeroed."""
    patch_size: tuple[int, int, int] = setting((16, 16, 16), EDGES)
    """(D, H, W) of one cell in voxels, capped by the slab's thickness and by the patch."""


@dataclass(frozen=True)
class TrainingSettings:
    """Length, optimiser and schedule of one step's training."""

    epochs: int = setting(1000, whole_number(1))
    optimizer: str = setting("SGD", one_of(OPTIMIZERS))
    lr: float = setting(1e-2, POSITIVE)
    weight_decay: float = setting(3e-5, NOT_NEGATIVE)
    momentum: float = setting(0.99, FRACTION)
    """SGD only."""
    nesterov: bool = setting(True, TRUE_OR_FALSE)
    """SGD only."""
    betas: tuple[float, float] = setting((0.9, 0.999), BETAS)
    """AdamW only."""
    schedule: str = setting("poly", one_of(SCHEDULES))
    warmup_epochs: int = setting(0, whole_number(0))
    """The rate rises linearly over this many epochs before the schedule begins."""
    gradient_clip: float | None = setting(12.0, POSITIVE.or_null())
    """Largest norm of the gradient; null: none."""


@dataclass(frozen=True)
class InitSettings(TrainingSettings):
    """Step 1's training."""

    epochs: int = setting(200, whole_number(1))
    unlabelled: bool | float | None = setting(None, TRUE_FALSE_OR_SHARE.or_null())
    """Whether to draw from scans without labels, or from which share of them; null: from all that there are."""
    labelled_share: float | None = setting(None, BETWEEN_0_AND_1.or_null())
    """Of what is drawn, the fold's own images; null: each image as often as any other."""


OF_SCANS_WITHOUT_LABELS = ("unlabelled", "labelled_share")
"""Settings of step 1's training."""


@dataclass(frozen=True)
class SegSettings(TrainingSettings):
    """Step 2's training: nnU-Net's own unless the plan says otherwise."""

    start: str = setting("step1", one_of(STARTS))
    """``random`` is a baseline with the same optimiser and schedule."""
    hand_over: str = open_setting("seg.hand_over", one_of(HANDED_OVER))
    """What comes from step 1: the encoder alone, the decoder too but for its last stages, or all. Output layers never do."""
    initialization: str = setting("network", one_of(INITIALIZATIONS))
    """How a random start is drawn: as the network does it, or by a data-independent scheme (paper, Fig. 1)."""


@dataclass(frozen=True)
class LWISettings:
    """The whole ``lwi`` block."""

    recipe: str | None = setting(None, one_of(RECIPES).or_null())
    """Who decides what is open: the measured recipe or the paper's; null: see :func:`~.recipes.recipe_of`."""
    num_subvolumes: int | None = setting(None, whole_number(2).or_null())
    """B; null: patch depth over the depth stride of the deepest level."""
    masking: MaskingSettings = field(default_factory=MaskingSettings)
    order_weight: float = open_setting("order_weight", NOT_NEGATIVE)
    order_heads: str = open_setting("order_heads", one_of(ORDER_HEADS))
    """The paper's linear classifier, or one with a hidden layer."""
    reconstruction_weight: float = setting(1.0, NOT_NEGATIVE)
    reconstruction_outputs: str = open_setting("reconstruction_outputs", one_of(OUTPUTS))
    """``all``: at lower resolutions too, where the network has deep supervision."""
    order_levels: tuple[int, ...] | None = setting(None, LEVELS.or_null())
    """Indices into what the encoder hands to the decoder; null: every level that can carry a head."""
    init: InitSettings = field(default_factory=InitSettings)
    seg: SegSettings = field(default_factory=SegSettings)
    iterations_per_epoch: int = setting(250, whole_number(1))
    val_iterations_per_epoch: int = setting(50, whole_number(1))
    augmentation_device: str = setting("auto", one_of(AUGMENTATION_DEVICES))
    seed: int | None = setting(None, whole_number(0).or_null())

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> LWISettings:
        """Read the ``lwi`` block of a resolved configuration, and decide what it leaves open.

        Raises:
            UserError: unknown key or value out of range; names the key, the value and what is allowed.
        """
        decided = {decision.key: decision.value for decision in decisions(configuration)}
        settings = _read(cls, configuration.get("lwi", {}), "lwi", decided)
        _check_together(settings)
        return settings

    @property
    def predicts_order(self) -> bool:
        """Whether slabs are shuffled and their order predicted."""
        return self.order_weight > 0

    @property
    def reconstructs(self) -> bool:
        """Whether voxels are masked and the shuffled volume is reconstructed."""
        return self.reconstruction_weight > 0

    def step1(self) -> dict[str, Any]:
        """What step 1's weights depend on, as plain JSON."""
        other = ("recipe", "seg", "val_iterations_per_epoch", "augmentation_device")
        block = {key: value for key, value in as_json(self).items() if key not in other}
        del block["init"]["unlabelled"]  # the run's record has the scans themselves
        if block["init"]["labelled_share"] is None:  # as if it were not there, as in earlier versions
            del block["init"]["labelled_share"]
        return block

    def step2(self) -> dict[str, Any]:
        """What a training of step 2 depends on beyond its step 1, as plain JSON."""
        return {key: value for key, value in as_json(self).items() if key in ("seg", "iterations_per_epoch", "seed")}


def decisions(configuration: Mapping[str, Any]) -> list[Decision]:
    """What a resolved configuration's ``lwi`` block leaves open, decided, in the order of the settings."""
    block = configuration.get("lwi", {})
    written = flatten(block) if isinstance(block, Mapping) else {}
    recipe = recipe_of(written)
    decided = {key: decide(key, recipe) for key in _open_keys(LWISettings) if written.get(key) is None}
    order_weight = decided["order_weight"].value if "order_weight" in decided else written["order_weight"]
    if "order_heads" in decided and order_weight == 0:
        decided["order_heads"] = replace(decided["order_heads"], reason="unused, as no order is predicted")
    return list(decided.values())


def leaves_open(configuration: Mapping[str, Any], key: str) -> bool:
    """Whether a resolved configuration leaves a setting, ``seg.hand_over`` say, to the recipe."""
    return any(decision.key == key for decision in decisions(configuration))


def open_block() -> dict[str, Any]:
    """A whole block that leaves to the measured recipe what can be left open."""
    block = as_json(LWISettings(recipe=RECIPES[0]))
    for key in _open_keys(LWISettings):
        *path, last = key.split(".")
        inner = block
        for step in path:
            inner = inner[step]
        inner[last] = None
    return block


def _open_keys(cls: type) -> Iterator[str]:
    for f in fields(cls):
        if "rule" not in f.metadata:
            yield from _open_keys(f.default_factory)  # type: ignore[arg-type]
        elif "key" in f.metadata:
            yield f.metadata["key"]


def as_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as JSON would give it back: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain


def flatten(block: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots: ``{"init": {"lr": 1}}`` becomes ``{"init.lr": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in block.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        flat |= flatten(value, path) if isinstance(value, Mapping) else {path: value}
    return flat


def _read(cls: type[Settings], block: Any, path: str, decided: Mapping[str, Any]) -> Settings:
    if not isinstance(block, Mapping):
        raise UserError(f"{path} in the plan is {block!r}; it must be an object of settings: {{...}}.")
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in block.items():
        if key not in known and not _was_harmless(f"{path}.{key}", value):
            raise UserError(_unknown_key(path, key, list(known)))
    for key, f in known.items():
        if "rule" not in f.metadata:
            values[key] = _read(f.default_factory, block.get(key, {}), f"{path}.{key}", decided)  # type: ignore[arg-type]
        elif f.metadata.get("key") in decided:
            values[key] = _frozen(decided[f.metadata["key"]])
        elif key in block:
            values[key] = _checked(block[key], f.metadata, f"{path}.{key}")
    return cls(**values)


REMOVED = {"lwi.masking.share": 1.0, "lwi.shuffled_share": 1.0, "lwi.seg.hand_over_norms": True}
"""Settings of earlier versions, and the value that changed nothing, which their plans may hold."""


def _was_harmless(path: str, value: Any) -> bool:
    """Whether an earlier version's setting stands at what is now always so.

    Raises:
        UserError: it stands at something else.
    """
    if path not in REMOVED:
        return False
    if value != REMOVED[path]:
        raise UserError(
            f"{path} = {value!r} in the plan is no longer a setting, as no use was found for it: remove it from the plan."
        )
    return True


def _unknown_key(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(key), known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{path}.{key} in the plan is not a setting.{hint} Known in {path}: {', '.join(known)}."


def _checked(value: Any, metadata: Mapping[str, Any], path: str) -> Any:
    rule: Rule = metadata["rule"]
    if not rule.holds(value):
        allowed = rule.or_null().allowed if "key" in metadata else rule.allowed
        raise UserError(f"{path} = {value!r} in the plan is not allowed: it must be {allowed}.")
    return _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check_together(settings: LWISettings) -> None:
    """Rules that concern more than one setting."""
    if not settings.predicts_order and not settings.reconstructs:
        raise UserError(
            "lwi.order_weight and lwi.reconstruction_weight in the plan are both 0, which leaves step 1 nothing to learn: "
            "set at least one of them above 0."
        )
    for name in ("init", "seg"):
        training: TrainingSettings = getattr(settings, name)
        if training.warmup_epochs >= training.epochs:
            raise UserError(
                f"lwi.{name}.warmup_epochs = {training.warmup_epochs} in the plan is not allowed: it must be below "
                f"lwi.{name}.epochs = {training.epochs}."
            )
        if training.optimizer == "SGD" and training.nesterov and training.momentum == 0:
            raise UserError(
                f"lwi.{name}.momentum = 0 in the plan is not allowed with nesterov: it must be above 0, or "
                f"lwi.{name}.nesterov false."
            )
    if settings.seg.initialization != "network" and settings.seg.start != "random":
        raise UserError(
            f"lwi.seg.initialization = {settings.seg.initialization!r} in the plan is not allowed with lwi.seg.start = "
            f"{settings.seg.start!r}, which overwrites it: it must be network, or lwi.seg.start random."
        )
