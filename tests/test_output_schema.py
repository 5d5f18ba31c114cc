"""The JSON output of every command is as docs/output.schema.json promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import output_schema
import pytest

from nemo_jobs_cli.cli import app
from nemo_jobs_cli.commands import completion, config, outbox
from nemo_jobs_cli.sandbox import server as sandbox

AWAY = "--host http://127.0.0.1:9 --deadline 0"  # nothing listens there

# A script for each definition; what it prints on stdout is checked.
SCRIPTS = {
    "failure": "nemo-jobs show x1 --field nothing -o json",
    "update": "nemo-jobs update x1 progress=45% -o json",
    "update-kept": f"nemo-jobs update x1 a=1 --outbox {AWAY} -o json",
    "update-dry-run": "nemo-jobs update x1 progress=45 --dry-run -o json",
    "update-curl": "nemo-jobs update x1 progress=45 --curl -o json",
    "show": "nemo-jobs show x1 -o json && nemo-jobs show x1 --state -o json",
    "list": "nemo-jobs list -o json && nemo-jobs list -o ndjson && nemo-jobs list --names -o ndjson",
    "logs": "nemo-jobs logs x2 -o json && nemo-jobs logs x2 -o ndjson",
    "stream": "echo a=1 | nemo-jobs stream x1 -o json",
    "stream-request": "echo a=1 | nemo-jobs stream x1 -o ndjson",
    "stream-event": "printf 'a=1\\n:\\n' | nemo-jobs stream x1 -o ndjson",
    "run": "nemo-jobs run x1 --report r.json -- true && cat r.json",
    "apply": "nemo-jobs apply u.ndjson -o json",
    "apply-line": "nemo-jobs apply u.ndjson -o ndjson",
    "apply-dry-run": "nemo-jobs apply u.ndjson --dry-run -o json",
    "outbox-list": f"nemo-jobs update x1 a=1 --outbox {AWAY} -q; nemo-jobs outbox list -o json",
    "outbox-show": f"nemo-jobs update x1 a=1 --outbox {AWAY} -q; nemo-jobs outbox show $(ls box/pending) -o json",
    "outbox-flush": f"nemo-jobs update x1 a=1 --outbox {AWAY} -q; nemo-jobs outbox flush {AWAY} -o json",
    "outbox-flush-line": f"nemo-jobs update x1 a=1 --outbox {AWAY} -q; nemo-jobs outbox flush {AWAY} -o ndjson",
    "outbox-drop": f"nemo-jobs update x1 a=1 --outbox {AWAY} -q; nemo-jobs outbox drop --all -o json",
    "config-list": "nemo-jobs config list -o json",
    "config-path": "nemo-jobs config path -o json",
    "config-get": "nemo-jobs config get host -o json",
    "config-set": "nemo-jobs config set workspace lab -o json && nemo-jobs config unset workspace -o json",
    "config-use": "nemo-jobs config set workspace lab --profile lab -q; nemo-jobs config use lab -o json",
    "config-profiles": "nemo-jobs config set workspace lab --profile lab -q; nemo-jobs config profiles -o json",
    "init": 'nemo-jobs init --host "$NEMO_JOBS_HOST" -w default --anonymous -o json',
    "doctor": "nemo-jobs doctor -o json",
    "completion-install": "nemo-jobs completion install bash -o json",
    "completion-uninstall": "nemo-jobs completion uninstall bash -o json",
}


@pytest.fixture
def output(tmp_path):
    """Return a function that runs a script on a sandbox and returns its documents."""
    server = sandbox.start(sandbox.Options(jobs=("x1",), logs=(("x2", ("epoch 1",)),)))
    (tmp_path / "u.ndjson").write_text('{"job": "x1", "status_details": {"progress": 45}}\n', encoding="utf-8")
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "NEMO_JOBS_HOST": server.url,
        "NEMO_JOBS_OUTBOX_DIR": "box",
    }

    def run(script: str) -> list:
        words = ["bash", "-c", script]
        ran = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", timeout=120)
        assert ran.stdout, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    yield run
    sandbox.stop(server)


def test_the_schema_is_valid():
    """Of the draft that it names."""
    meta = jsonschema.Draft202012Validator.META_SCHEMA
    assert output_schema.schema()["$schema"] == meta["$id"]
    assert jsonschema.Draft202012Validator(meta).is_valid(output_schema.schema())


def test_every_command_and_definition_has_a_script():
    """A new command adds its output to the schema."""
    groups = {"outbox": outbox.app, "config": config.app, "completion": completion.app}
    names = {f"{group}-{command.name}" for group, inner in groups.items() for command in inner.registered_commands}
    names |= app.COMMANDS.keys() - groups.keys() - {"sandbox"}
    promised = {part["$ref"].rpartition("/")[2] for part in output_schema.schema()["anyOf"]}
    assert promised == SCRIPTS.keys()
    assert names - {"config-unset", *(f"completion-{shell}" for shell in ("bash", "zsh", "fish", "table"))} <= promised


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_output_is_as_promised(output, name):
    """With no other keys, so that each is a promise."""
    documents = output(SCRIPTS[name])
    for document in documents:
        output_schema.check(document)
    assert any(output_schema.describes(name, document) for document in documents)
