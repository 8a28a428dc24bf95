"""``nnUNetv2_lwi export``: give a finished training to people without this package, or its weights to other programs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nnunetv2_lwi.cli.options import add_dataset_option, add_output_option, add_plans_option
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import FINAL, STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.commands import shell_line
from nnunetv2_lwi.nnunet.target import parse_fold

if TYPE_CHECKING:
    from nnunetv2_lwi.export.finished import FinishedTraining

EXAMPLES = (
    "export --as nnunet -d 4 -c 3d_fullres -f 0 1 2 3 4 -o model.zip",
    "export --as nnssl -d 4 -c 3d_fullres -f 0 -o step1.pth",
    "export --as encoder -d 4 -c 3d_fullres -f 0 -o encoder.safetensors",
)
PAGE = "howto/share.md"
ENDINGS = {"nnunet": (".zip",), "nnssl": (".pth",), "encoder": (".pth", ".safetensors")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnUNetv2_export_model_to_zip where it has them."""
    parser.add_argument(
        "--as",
        dest="form",
        required=True,
        choices=tuple(ENDINGS),
        help="nnunet: step 2 as a model of nnU-Net's own trainer, a zip to install; nnssl: step 1 as weights for "
        "nnUNetv2_train_pretrained; encoder: step 1's encoder alone, .pth or .safetensors",
    )
    add_dataset_option(parser)
    parser.add_argument("-c", dest="configuration", default="3d_fullres", help="configuration (default: %(default)s)")
    add_plans_option(parser)
    parser.add_argument(
        "-f",
        dest="folds",
        type=parse_fold,
        nargs="+",
        default=[0],
        metavar="FOLD",
        help="fold; several with --as nnunet (default: 0)",
    )
    add_output_option(parser, "file to write: .zip, .pth or .safetensors", required=True)
    parser.add_argument(
        "-chk",
        dest="checkpoint",
        default=FINAL,
        choices=(FINAL, "checkpoint_best.pth"),
        help="which checkpoint of the finished training (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--needs-package",
        action="store_true",
        help="with --as nnunet: allow a network that nnU-Net does not bring; whoever predicts must install its package",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the file, and say what it is and what to do with it.

    Raises:
        UserError: there is no such finished training, its network cannot go there, or the file cannot be written.
    """
    from nnunetv2_lwi.export.destination import require_destination
    from nnunetv2_lwi.export.finished import find_finished

    if arguments.form != "nnunet" and len(arguments.folds) > 1:
        raise UserError(f"--as {arguments.form} takes one fold, not {len(arguments.folds)}: name it with -f.")
    trainer = STEP2_TRAINER if arguments.form == "nnunet" else STEP1_TRAINER
    names = (arguments.dataset, arguments.plans_name, arguments.configuration)
    training = find_finished(trainer, *names, arguments.folds, arguments.checkpoint)
    require_destination(arguments.output, ENDINGS[arguments.form], arguments.overwrite, training.folder)
    write = {"nnunet": write_model, "nnssl": write_nnssl, "encoder": write_encoder}[arguments.form]
    following = write(training, arguments)
    size = arguments.output.stat().st_size / 2**20
    print(f"Wrote {arguments.output} ({size:.1f} MiB): {training}, {training.checkpoint_name}.")
    print("\n".join(following))


def write_model(training: FinishedTraining, arguments: argparse.Namespace) -> list[str]:
    """The zip; what to type where it is to be used."""
    from nnunetv2_lwi.export.model_zip import STOCK_TRAINER, export_model

    packages = export_model(training, arguments.output, arguments.needs_package)
    model = f"{training.dataset_name}/{training.name_under(STOCK_TRAINER)}"
    predict = ["nnUNetv2_predict", "-i", "IN", "-o", "OUT", "-d", training.dataset_name, "-c", training.configuration]
    predict += ["-p", training.plans_name, "-f", *map(str, training.folds)]
    predict += ["-chk", training.checkpoint_name] if training.checkpoint_name != FINAL else []
    return [
        f"Next, where {' and '.join(['nnU-Net', *packages])} {'are' if packages else 'is'} installed:",
        f"  {shell_line(['nnUNetv2_install_pretrained_model_from_zip', str(arguments.output)])}",
        f"  {shell_line(predict)}",
        f"Installing overwrites {model} in nnUNet_results, where there is one: a baseline of the same plans, say.",
    ]


def write_nnssl(training: FinishedTraining, arguments: argparse.Namespace) -> list[str]:
    """The weights; what to type where they are to be used."""
    from nnunetv2_lwi.export.nnssl import export_nnssl
    from nnunetv2_lwi.export.source import read_source

    source = read_source(training.checkpoint(training.folds[0]))
    export_nnssl(source, arguments.output)
    plan = ["nnUNetv2_plan_like_dynamic", "-d", "ID", "-n", "NAME", "-pc", str(arguments.output), "-pl", "PLANS"]
    train = ["nnUNetv2_train_pretrained", "ID", "3d_fullres", "FOLD", "-p", "ptPlans_dynamic__NAME"]
    return [
        "Next, where nnU-Net's master is installed and the data set ID is planned:",
        f"  {shell_line(plan)}",
        f"  {shell_line([*train, '-tr', 'DynamicPretrainedTrainer'])}",
    ]


def write_encoder(training: FinishedTraining, arguments: argparse.Namespace) -> list[str]:
    """The encoder; how Python reads it."""
    from nnunetv2_lwi.export.encoder import SAFETENSORS, export_encoder, require_format
    from nnunetv2_lwi.export.source import read_source

    require_format(arguments.output)
    export_encoder(read_source(training.checkpoint(training.folds[0])), arguments.output)
    name = arguments.output.name
    if arguments.output.suffix == SAFETENSORS:
        return ["Next, in Python:", f"  safetensors.torch.load_model(network.encoder, {name!r})"]
    return ["Next, in Python:", f"  network.encoder.load_state_dict(torch.load({name!r}, weights_only=True)['state_dict'])"]
