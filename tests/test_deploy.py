"""What `deploy/` says is what the package can: its commands are parsed by the command line itself, its extras and
variables are ours, and systemd takes its unit."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from seesay.cli.main import cli
from seesay.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def containers(part: Any) -> Iterator[dict[str, Any]]:
    """Every container of Kubernetes' objects."""
    if isinstance(part, dict):
        yield from part.get("containers", ())
        for value in part.values():
            yield from containers(value)
    elif isinstance(part, list):
        for one in part:
            yield from containers(one)


def commands() -> list[list[str]]:
    """Every command line of ours in these files, without "seesay"."""
    compose = yaml.safe_load(text("compose.yaml"))
    [unit] = re.findall(r"^ExecStart=\S+/seesay (.*)$", text("seesay.service"), re.MULTILINE)
    return [
        json.loads(text("Containerfile").rpartition("CMD ")[2]),
        *(service["command"] for service in compose["services"].values() if service["image"] == "seesay"),
        *(one["args"] for one in containers(list(yaml.safe_load_all(text("kubernetes.yaml"))))),
        shlex.split(unit),
    ]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_commands_are_ours(arguments: list[str]) -> None:
    name, *rest = arguments
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    assert command.make_context(name, list(rest), parent=context).params


def test_the_image_is_of_our_package_and_of_nobody_s_rights() -> None:
    said = text("Containerfile")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [extras] = re.findall(r'"\.\[(.*)\]"', said)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", said, re.MULTILINE):
        assert all((ROOT / one).exists() for one in copied.split())
    assert re.search(r"^USER 10001$", said, re.MULTILINE)
    [probe] = re.findall(r"HEALTHCHECK.*\\\n +CMD (\[.*\])", said)
    assert "/health" in json.loads(probe)[2]


def test_the_build_is_sent_what_it_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text("Containerfile"), re.MULTILINE)
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == {one for line in copied for one in line.split()}


def test_the_database_is_healthy_when_others_reach_it() -> None:
    """The image's first start listens at its socket only, and the servers would be started too early."""
    [_, probe] = yaml.safe_load(text("compose.yaml"))["services"]["db"]["healthcheck"]["test"]
    assert "-h 127.0.0.1" in probe


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="there is no git checkout")
def test_git_leaves_the_secrets_alone() -> None:
    secrets = ["deploy/.env", "deploy/keys.toml"]
    done = subprocess.run(["git", "check-ignore", "--no-index", *secrets], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == secrets


def test_variables_are_settings() -> None:
    known = {f"SEESAY_{field.name.upper()}" for field in fields(Settings)} | {"SEESAY_DB_PASSWORD"}
    for name in ("Containerfile", "compose.yaml", "kubernetes.yaml", "seesay.service"):
        assert set(re.findall(r"SEESAY_[A-Z_]+", text(name))) <= known


def test_kubernetes_objects_hang_together() -> None:
    objects = {one["kind"]: one for one in yaml.safe_load_all(text("kubernetes.yaml"))}
    assert set(objects) == {"Deployment", "Service", "PodDisruptionBudget", "CronJob"}
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels == objects["Service"]["spec"]["selector"]
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    pods = [objects["Deployment"]["spec"], objects["CronJob"]["spec"]["jobTemplate"]["spec"]]
    for pod in (one["template"]["spec"] for one in pods):
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["securityContext"]["readOnlyRootFilesystem"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "seesay.service"  # with a program that is there
    unit.write_text(text("seesay.service").replace("/opt/seesay/bin/seesay", shutil.which("true") or "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "seesay" in line]
    assert (done.returncode, complaints) == (0, [])
