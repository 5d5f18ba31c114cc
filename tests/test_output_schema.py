"""The JSON output of every command is as docs/output.schema.json promises."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import output_schema
import pytest
from in_process import run_here

from nemo_jobs_cli.cli import app
from nemo_jobs_cli.commands import completion, config, outbox
from nemo_jobs_cli.sandbox import server as sandbox

AWAY = "--host http://127.0.0.1:9 --deadline 0"  # nothing listens there
STORE = f"update x1 a=1 --outbox {AWAY} -q"

# Command lines for each definition; what they print on stdout or write as a report is checked.
LINES = {
    "failure": ["show x1 --field nothing -o json"],
    "update": ["update x1 progress=45% -o json"],
    "update-kept": [f"update x1 a=1 --outbox {AWAY} -o json"],
    "update-dry-run": ["update x1 progress=45 --dry-run -o json"],
    "update-curl": ["update x1 progress=45 --curl -o json"],
    "show": ["show x1 -o json", "show x1 --state -o json"],
    "list": ["list -o json", "list -o ndjson", "list --names -o ndjson"],
    "logs": ["logs x2 -o json", "logs x2 -o ndjson"],
    "stream": ["stream x1 -o json"],
    "stream-request": ["stream x1 -o ndjson"],
    "stream-event": ["stream x1 -o ndjson"],
    "run": ["run x1 --report report.json -- true"],
    "apply": ["apply u.ndjson -o json"],
    "apply-line": ["apply u.ndjson -o ndjson"],
    "apply-dry-run": ["apply u.ndjson --dry-run -o json"],
    "outbox-list": [STORE, "outbox list -o json"],
    "outbox-show": [STORE, "outbox show {stored} -o json"],
    "outbox-flush": [STORE, f"outbox flush {AWAY} -o json"],
    "outbox-flush-line": [STORE, f"outbox flush {AWAY} -o ndjson"],
    "outbox-drop": [STORE, "outbox drop --all -o json"],
    "config-list": ["config list -o json"],
    "config-path": ["config path -o json"],
    "config-get": ["config get host -o json"],
    "config-set": ["config set workspace lab -o json", "config unset workspace -o json"],
    "config-use": ["config set workspace lab --profile lab -q", "config use lab -o json"],
    "config-profiles": ["config set workspace lab --profile lab -q", "config profiles -o json"],
    "init": ["init --host {host} -w default --anonymous -o json"],
    "doctor": ["doctor -o json"],
    "completion-install": ["completion install bash -o json"],
    "completion-uninstall": ["completion uninstall bash -o json"],
}


@pytest.fixture
def documents(tmp_path, monkeypatch):
    """Return a function that runs command lines on a sandbox and returns what they print."""
    server = sandbox.start(sandbox.Options(jobs=("x1",), logs=(("x2", ("epoch 1",)),)))
    monkeypatch.chdir(tmp_path)
    Path("u.ndjson").write_text('{"job": "x1", "status_details": {"progress": 45}}\n', encoding="utf-8")
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "NEMO_JOBS_HOST": server.url,
        "NEMO_JOBS_OUTBOX_DIR": "box",
    }

    def run(lines: list[str], text: bytes) -> list:
        printed = []
        for line in lines:
            stored = next(Path("box/pending").glob("*"), Path()).name
            words = line.format(host=server.url, stored=stored).split()
            printed.append(run_here(env, *words, input=text, encoding="utf-8"))
        report = [path.read_text(encoding="utf-8") for path in Path().glob("report.json")]
        documents = [
            json.loads(line) for text in (*report, *(ran.stdout for ran in printed)) for line in text.splitlines()
        ]
        assert documents, printed
        return documents

    yield run
    sandbox.stop(server)


def test_the_schema_is_valid():
    """Of the draft that it names."""
    meta = jsonschema.Draft202012Validator.META_SCHEMA
    assert output_schema.schema()["$schema"] == meta["$id"]
    assert jsonschema.Draft202012Validator(meta).is_valid(output_schema.schema())


def test_every_command_and_definition_is_checked():
    """A new command adds its output to the schema."""
    groups = {"outbox": outbox.app, "config": config.app, "completion": completion.app}
    names = {f"{group}-{command.name}" for group, inner in groups.items() for command in inner.registered_commands}
    names |= app.COMMANDS.keys() - groups.keys() - {"sandbox"}
    promised = {part["$ref"].rpartition("/")[2] for part in output_schema.schema()["anyOf"]}
    assert promised == LINES.keys()
    assert names - {"config-unset", *(f"completion-{shell}" for shell in ("bash", "zsh", "fish", "table"))} <= promised


@pytest.mark.parametrize("name", LINES)
def test_the_output_is_as_promised(documents, name):
    """With no other keys, so that each is a promise."""
    printed = documents(LINES[name], b"a=1\n:\n" if name == "stream-event" else b"a=1\n")
    for document in printed:
        output_schema.check(document)
    assert any(output_schema.describes(name, document) for document in printed)
