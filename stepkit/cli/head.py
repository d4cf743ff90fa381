"""step-head: the head of a process reward model, out of a checkpoint into a file that runs here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from stepkit.cli.options.shared import PROFILE
from stepkit.errors import FailedError, UsageError, reason
from stepkit.runner.options import command, model_file

if TYPE_CHECKING:
    from stepkit.model.heads.head_network import Head
    from stepkit.model.profiles.profile import Profile
    from stepkit.runner.run import StreamOptions


@command("step-head", own="Heads")
@click.argument("checkpoint", type=click.Path())
@click.option("-o", "--output", "target", metavar="FILE", required=True, help="What to write.")
@click.option(
    "--tensors",
    metavar="NAME",
    help="Prefix of the names of the head's tensors, as in score.",
)
@PROFILE()
@model_file(
    "--backbone",
    help="The converted backbone, a GGUF file: the head is for this one and refused by any other.",
)
@model_file("--graft", help="Write this backbone, a GGUF file, with the head (a linear one) in it.")
@click.option(
    "--rows", metavar="ID,ID,...", help="With --graft: tokens to give up (default: unused ones)."
)
@click.option(
    "--wide", is_flag=True, help="With --graft: keep the output matrix in 32 bits (default: 16)."
)
def main(
    streams: StreamOptions,
    checkpoint: str,
    target: str,
    tensors: str | None,
    profile: str | None,
    backbone: str | None,
    graft: str | None,
    rows: str | None,
    wide: bool,
) -> None:
    """Take the head of a process reward model out of a Hugging Face checkpoint.

    \b
    step-head Skywork-PRM-1.5B -o skywork.head.safetensors
    step-score --prm backbone.gguf --head skywork.head.safetensors traces.jsonl
    step-head Skywork-PRM-1.5B --graft backbone.gguf --profile skywork-o1-prm -o prm.gguf

    llama.cpp drops such heads when a model is converted. CHECKPOINT is a folder, a
    safetensors file or an index of several; of these only the part that holds the
    head must be there. A linear head can also be grafted into the output matrix of
    the backbone, which then is a verifier by itself.
    """
    if graft is None and (rows is not None or wide):
        raise UsageError(f"--{'wide' if rows is None else 'rows'} goes with --graft")
    if graft is not None and backbone is not None:
        raise UsageError("--graft names the backbone: leave out --backbone")
    if graft is not None and profile is None:
        raise UsageError("--graft needs --profile: the written model carries it")
    from stepkit.cli.backends.fetch_models import fetch_missing
    from stepkit.model.backend import check_loads
    from stepkit.model.heads import head_graft
    from stepkit.model.heads.head_network import from_checkpoint
    from stepkit.model.heads.safetensors import INDEX, open_checkpoint

    if graft is not None:
        head_graft.require_gguf()
    fetch_missing(streams, {"--backbone": backbone, "--graft": graft})
    backbone, graft = _file(backbone, "--backbone"), _file(graft, "--graft")
    known, text = _profile(profile) if profile else (None, "")
    found = open_checkpoint(checkpoint)
    inputs = {str(tensor.file) for tensor in found.values()}
    inputs |= {
        checkpoint,
        os.path.join(checkpoint, INDEX),
        *filter(None, (graft, backbone, profile)),
    }
    head = from_checkpoint(found, tensors, text)
    if known is not None and known.readout.outputs not in (0, head.outputs):
        wanted = known.readout.outputs
        raise UsageError(f"--profile {profile}: of {wanted} outputs, the head has {head.outputs}")
    if backbone is not None:
        head = _bound(head, backbone)
    done = f"a head of kind {head.kind}"
    with _replacing(target, inputs) as part:
        if graft is None or known is None:
            with open(part, "wb") as file:
                file.write(head.encode())
        else:
            grafted = head_graft.graft(head, known, graft, part, _rows(rows), wide)
            check_loads(part, graft)
            done += f" in rows {', '.join(map(str, grafted.readout.rows))}"
    click.echo(f"{streams.command}: {target}: {done}, {head.outputs} x {head.width}", err=True)


def _file(name: str | None, option: str) -> str | None:
    """The file of a model that is there."""
    if name is None:
        return None
    from stepkit.modelfile import parts
    from stepkit.stores.locate import locate

    path = locate(name, option).path
    if option == "--graft" and len(parts(path)) > 1:
        raise UsageError(f"{option} {name}: in several parts; put them together (gguf-split)")
    return path


def _bound(head: Head, backbone: str) -> Head:
    """The head, bound to this GGUF file. Raises UsageError when it does not fit."""
    from stepkit.model.heads.head_network import check_fits
    from stepkit.model.local.llama import Model

    model = Model(backbone, option="--backbone")
    check_fits(head, model, 0, f"--backbone {backbone}")
    model.close()
    return replace(head, backbone=model.fingerprint)


@contextmanager
def _replacing(target: str, inputs: Iterable[str]) -> Iterator[str]:
    """The name of a file that becomes ``target`` on success, and is removed on failure."""
    from stepkit.io.sink import PART, STDOUT, is_special, open_locked, refuse_inputs, target_of

    if target == STDOUT or is_special(target):
        raise UsageError(f"-o {target}: expected the name of a file")
    path = target_of(target)
    part = path + PART
    for name in filter(os.path.exists, (path, part)):
        refuse_inputs(f"-o {target}" if name == path else name, os.stat(name), tuple(inputs))
    descriptor = open_locked(part)
    try:
        yield part
        os.replace(part, path)
    except BaseException as error:
        os.unlink(part)
        if isinstance(error, OSError):
            raise FailedError(f"{target}: {reason(error)}") from None
        raise
    finally:
        os.close(descriptor)


def _rows(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"--rows {text}: expected token ids with commas between them") from None


def _profile(name: str) -> tuple[Profile, str]:
    """The profile of a family or in a file, and its JSON."""
    import json

    from stepkit.model.profiles.families import load_profile

    profile = load_profile(name)
    if profile.kind != "hidden-head":
        raise UsageError(f'--profile {name}: of kind "{profile.kind}", not "hidden-head"')
    return profile, json.dumps(profile.data(), ensure_ascii=False)
