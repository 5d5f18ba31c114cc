"""The tasks of the project: `nox --list` names them, `nox -s NAME` runs one, `nox` the default ones (marked with *)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests-3.12", "wheel"]

WORKERS = ["-n2"]  # of pytest: the tests wait half of their time
PYTHONS = ["3.11", "3.12", "3.13"]
DIST = Path("dist").absolute()
MAIN_JOB = "nemo-jobs sandbox -- sh -c 'nemo-jobs update train-demo progress=45 && nemo-jobs show train-demo'"
COMPLETIONS = (
    "bash-completion/completions/nemo-jobs",
    "zsh/site-functions/_nemo-jobs",
    "fish/vendor_completions.d/nemo-jobs.fish",
)


def sync(session: nox.Session, extra: str) -> None:
    """Install the project editable, with the versions in uv.lock."""
    env = {"UV_PROJECT_ENVIRONMENT": session.virtualenv.location}
    session.run_install("uv", "sync", "--locked", "--quiet", f"--extra={extra}", env=env)


def build(session: nox.Session) -> tuple[Path, Path]:
    """Build sdist and wheel; return their paths."""
    folder = Path(session.create_tmp()).absolute() / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("uv", "build", "--quiet", "--out-dir", str(folder))
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def enter_sdist(session: nox.Session) -> None:
    """Build the sdist, unpack it, and change into its folder."""
    sdist, _ = build(session)
    shutil.unpack_archive(sdist, sdist.parent, filter="data")
    session.chdir(sdist.parent / sdist.name.removesuffix(".tar.gz"))


def do_main_job(session: nox.Session, *folders: str) -> None:
    """Update and show a job on the sandbox, with nothing from outside but `folders` on PATH."""
    path = ":".join([*folders, "/usr/bin", "/bin"])
    session.run("env", "-i", f"PATH={path}", f"HOME={session.create_tmp()}", "sh", "-ec", MAIN_JOB, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style, import contracts, shell scripts and workflows."""
    sync(session, "dev")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports", "--no-logo")
    session.run("shellcheck", ".ci/run", "completions/nemo-jobs.bash")
    session.run("zizmor", "--offline", "--quiet", ".github")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    sync(session, "dev")
    session.run("mypy", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests; on 3.12 also the slow ones, with branch coverage."""
    sync(session, "dev")
    if session.python != "3.12" or session.posargs:
        session.run("python", "-m", "pytest", *(session.posargs or WORKERS))
        return
    session.run("python", "-m", "pytest", *WORKERS, "--hypothesis-profile=thorough", "--cov", "--cov-fail-under=97")
    # Without coverage: they would take twice as long, and cover nothing more.
    session.run("python", "-m", "pytest", *WORKERS, "-m", "slow and not platform and not helix")


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest libraries that pyproject.toml allows, and in a locale without UTF-8."""
    session.install("--resolution=lowest-direct", "-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or WORKERS), env={"LC_ALL": "C", "PYTHONUTF8": "0"})


@nox.session(python="3.12")
@nox.parametrize("server", [nox.param(name, id=name) for name in ("platform", "helix")])
def contract(session: nox.Session, server: str) -> None:
    """Run the contract tests on a real server, which they install."""
    sync(session, "test")
    session.run("python", "-m", "pytest", "-q", "-m", server, "tests/contract", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Run the commands, recipes and Python code in README and docs/, and check what they say."""
    sync(session, "dev")
    session.install("transformers==5.24.0")
    pages = [str(path) for path in sorted(Path("tests").glob("test_docs*.py"))]
    session.run("python", "-m", "pytest", "-q", "-m", "", *pages, "tests/test_recipes.py", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel into dist/, check their metadata, and do the main job with the wheel as a tool of uv."""
    sync(session, "dev")
    packages = build(session)
    session.run("twine", "check", "--strict", *map(str, packages))
    tools = packages[1].parent / "tools"
    env = {"UV_TOOL_DIR": str(tools), "UV_TOOL_BIN_DIR": f"{tools}/bin"}
    session.run("uv", "tool", "install", "--quiet", str(packages[1]), env=env)
    do_main_job(session, f"{tools}/bin")
    session.run("ls", *(f"{tools}/nemo-jobs/share/{script}" for script in COMPLETIONS), external=True)
    DIST.mkdir(exist_ok=True)
    for package in packages:
        shutil.copy(package, DIST)


@nox.session(python=PYTHONS[-1])
def sdist(session: nox.Session) -> None:
    """Run the test command of README on the unpacked files of the sdist."""
    enter_sdist(session)
    command = re.search(
        r"^python3 -m venv .*pytest -n auto$", Path("README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    session.run("bash", "-c", command[0], external=True)


@nox.session(python=PYTHONS)
def zipapp(session: nox.Session) -> None:
    """Build dist/nemo-jobs.pyz for all PYTHONS on Linux x86_64, and do the main job with it on one of them."""
    sync(session, "dev")
    _, package = build(session)
    folder = package.parent
    session.run("uv", "export", "--quiet", "--locked", "--no-emit-project", "--output-file", f"{folder}/locked.txt")
    for version in PYTHONS:  # their compiled modules have different names
        words = [f"--constraints={folder}/locked.txt", f"--python-version={version}", f"--target={folder}/{version}"]
        session.run("uv", "pip", "install", "--quiet", "--python-platform=x86_64-manylinux_2_28", *words, str(package))
        shutil.copytree(folder / version, folder / "packages", dirs_exist_ok=True)
    words = [f"--site-packages={folder}/packages", "--console-script=nemo-jobs", "--python=/usr/bin/env python3"]
    DIST.mkdir(exist_ok=True)
    session.run("shiv", "--compressed", "--reproducible", *words, f"--output-file={DIST}/nemo-jobs.pyz")
    session.run("uv", "venv", "--quiet", f"--python={session.bin}/python", f"{folder}/bare")
    (folder / "bare/bin/nemo-jobs").symlink_to(DIST / "nemo-jobs.pyz")
    do_main_job(session, f"{folder}/bare/bin")


@nox.session(python="3.12")
def bench(session: nox.Session) -> None:
    """Measure start-up, flows and apply beside their alternatives; needs hyperfine."""
    session.install("--compile-bytecode", ".", "tqdm")
    for name in session.posargs or ("startup", "flow", "apply"):
        session.run("python", f"tests/bench/{name}.py", "--python", f"{session.bin}/python")


@nox.session(python="3.12")
def mutation(session: nox.Session) -> None:
    """Change the package at random places, and print the changes that no test notices; takes hours."""
    enter_sdist(session)
    session.install("-e", ".[test]", "cosmic-ray")
    session.run("python", "tests/bench/mutation.py", *session.posargs)
