"""Start-up is a feature: what gets imported on the way of one update."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from raw import response

HEAVY = {
    "pydantic",
    "pydantic_core",
    "rich",
    "yaml",
    "tomlkit",
    "tomllib",
    "platformdirs",
    "asyncio",
    "anyio",
    "trio",
    "importlib.metadata",
    "click",
    "pygments",
    "multiprocessing",
    "concurrent.futures",
    "http.client",
    "email.message",
    "urllib.request",
    "secrets",
    "hmac",
    "nemo_jobs_cli.output.rich_text",
    "nemo_jobs_cli.commands.show",
}

PROBE = """
import json, os, sys
from nemo_jobs_cli import __main__
leave, out = os._exit, sys.argv.pop(1)
def spy(code):
    with open(out, "w") as file:
        json.dump({"code": code, "modules": sorted(name for name, module in sys.modules.items() if module)}, file)
    leave(code)
os._exit = spy
__main__.main()
"""


@pytest.fixture
def imported(tmp_path):
    """Return a function that runs a command line in a new process and returns its imports."""

    def run(*words: str, **env: str) -> set[str]:
        out = tmp_path / "modules.json"
        ran = subprocess.run(
            [sys.executable, "-c", PROBE, str(out), *words],
            env={"PATH": "/usr/bin:/bin", "NEMO_JOBS_DEADLINE": "60", **env},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
        found = json.loads(out.read_text(encoding="utf-8"))
        assert found["code"] == 0, ran.stderr
        return set(found["modules"])

    return run


def test_a_piped_update_imports_nothing_heavy(imported, raw_server):
    """Each of these costs 15 to 100 ms, on every call."""
    server = raw_server([response(200)])
    modules = imported(
        "update", "train-x", "progress=45", 'message="batch 3"', "tags:=[1]",
        NEMO_JOBS_HOST=server.url, NEMO_JOBS_WORKSPACE="ws", NEMO_JOBS_TOKEN="t",
    )  # fmt: skip
    assert len(server.seen) == 1
    assert modules & HEAVY == set()


def test_an_update_inside_a_job_imports_nothing_heavy(imported, raw_server):
    """A training loop calls it often; there is no HOME either."""
    server = raw_server([response(200)])
    modules = imported("update", "progress=45", NMP_BASE_URL=server.url, NEMO_JOB_WORKSPACE="ws", NEMO_JOB_ID="train-x")
    assert len(server.seen) == 1
    assert modules & (HEAVY - {"platformdirs", "tomllib"}) == set()


def test_a_remembered_route_imports_nothing_more(imported, raw_server, tmp_path):
    """Reading the cache takes one small file; the first process, which writes it, may import more."""
    server = raw_server([response(404, '{"detail":"Not Found"}'), *[response(200)] * 3])
    to = {"NEMO_JOBS_HOST": server.url, "NEMO_JOBS_WORKSPACE": "ws", "HOME": str(tmp_path)}
    imported("update", "train-x", "progress=45", **to)
    remembered = imported("update", "train-x", "progress=45", **to)
    assert [b"/attempts/current/" in request for request in server.seen] == [False, True, True]
    (tmp_path / ".cache/nemo-jobs/routes").unlink()
    assert remembered - imported("update", "train-x", "progress=45", **to, NEMO_JOBS_API="attempts") == set()
    assert remembered & HEAVY == set()


def test_what_is_read_is_validated_by_the_core_of_pydantic_alone(imported, raw_server, tmp_path):
    """Its models would add 70 ms to `show`, `list`, and an update in the context of the official tool."""
    server = raw_server([response(200, '{"data": [], "status": "active"}')])
    config = tmp_path / "nmp" / "config.yaml"
    config.parent.mkdir()
    config.write_text(
        f"current_context: a\nclusters: [{{name: c, base_url: '{server.url}'}}]\ncontexts: [{{name: a, cluster: c}}]\n",
        encoding="utf-8",
    )
    for words in (["show", "train-x", "--state"], ["list"], ["update", "train-x", "progress=45"]):
        modules = imported(*words, XDG_CONFIG_HOME=str(tmp_path))
        assert "pydantic_core" in modules
        assert modules & HEAVY <= {"pydantic_core", "yaml", "platformdirs", "nemo_jobs_cli.commands.show"}
    assert len(server.seen) == 3


def test_a_piped_log_imports_nothing_heavy(imported, raw_server):
    """It is read as JSON; pydantic and rich would take as long as the request."""
    row = {"timestamp": "2026-01-01T00:00:00", "job_step": "train", "job_task": "t", "message": "x"}
    server = raw_server([response(200, json.dumps({"data": [row], "total": 1}))])
    modules = imported("logs", "train-x", "--tail", "20", NEMO_JOBS_HOST=server.url, NEMO_JOBS_WORKSPACE="ws")
    assert len(server.seen) == 1
    assert modules & HEAVY == set()


def test_the_version_does_not_import_typer(imported):
    """It is a constant."""
    modules = imported("--version")
    assert modules & (HEAVY | {"typer", "httpx", "json.decoder", "nemo_jobs_cli.cli.main"}) <= {"json.decoder"}


def named(words: list[str], **env: str) -> set[str]:
    """Return the modules that a Python process reports as imported."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-P", *words],
        env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}


@pytest.mark.parametrize(
    "words",
    [
        ["update", "train-x", "prog"],
        ["show", "tr"],
        ["show", "-w", "research", "--until", "progress"],
        ["show", "-w", "never-named", "tr"],
        ["show", "--host", "http://never.named", "tr"],
        ["list", "--profile", ""],
    ],
)
def test_a_tab_imports_few_modules(tmp_path, monkeypatch, words):
    """Not `re`, `typing` or `pathlib`, each a third of its time; also with cached names."""
    from nemo_jobs_cli.completion import remember
    from nemo_jobs_cli.settings.model import Screen, Settings

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    remember.update(Settings(), Screen(terminal=True), "default", "train-x", {"progress": 45})
    config = tmp_path / ".config" / "nemo-jobs" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[profiles.lab]\nworkspace = "research"\n', encoding="utf-8")  # nobody has met it
    code = "from nemo_jobs_cli.__main__ import main; main()"
    imported = named(["-c", code, "__complete", "zsh", "", *words], HOME=str(tmp_path)) - named(["-c", "pass"])
    ours = {name for name in imported if name.startswith("nemo_jobs_cli")}
    assert imported - ours <= {"__future__", "gc", "io", "time", "zlib"}
    assert {name.removeprefix("nemo_jobs_cli").removeprefix(".") for name in ours} == {
        "", "__main__", "completion", "completion.answer", "completion._table", "completion.command_line",
        "completion._cache", "core", "core.identifiers", "core.dirs", "core.known_keys",
    }  # fmt: skip


def test_the_programs_help_imports_no_command(imported):
    """Importing them all would double its time."""
    modules = imported("--help")
    assert not [name for name in modules if name.startswith("nemo_jobs_cli.commands.")]
    assert modules & (HEAVY | {"httpx", "ssl", "json.decoder"}) <= {"json.decoder"}


def test_help_imports_no_http(imported):
    """Reading help needs no network."""
    assert imported("update", "--help") & {"httpx", "pydantic", "yaml", "ssl"} == set()
