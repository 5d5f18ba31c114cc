"""The sources of settings."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.settings import sources
from nemo_jobs_cli.settings.model import DEFAULT_HOST, Credential, Flags, Settings, Sourced
from nemo_jobs_cli.settings.profiles import Profile
from nemo_jobs_cli.settings.sources import Source

SECRET = "hunter2"


def test_an_own_token_is_not_bound_to_a_host():
    """A token overrides a token file."""
    token = Credential("token", SECRET, "NEMO_JOBS_TOKEN")
    file = Credential("file", "/run/token", "NEMO_JOBS_TOKEN_FILE")
    assert sources.from_own_variables({"NEMO_JOBS_TOKEN": SECRET}).credential == token
    assert sources.from_own_variables({"NEMO_JOBS_TOKEN_FILE": "/run/token"}).credential == file
    both = {"NEMO_JOBS_TOKEN": SECRET, "NEMO_JOBS_TOKEN_FILE": "/run/token"}
    assert sources.from_own_variables(both).credential == token
    assert sources.from_own_variables({**both, "NEMO_JOBS_TOKEN": ""}).credential == file
    assert (token.bound_to, file.bound_to) == (None, None)


@pytest.mark.parametrize("prefix", ["NHX", "NMP"])
def test_a_job_tries_its_credentials_in_the_order_of_the_platform(prefix):
    """Access token, workload identity, principal; empty ones are skipped."""
    environ = {
        "NEMO_JOB_ID": "train-x",
        f"{prefix}_ACCESS_TOKEN": "a",
        f"{prefix}_WORKLOAD_IDENTITY_TOKEN_FILE": "b",
        f"{prefix}_PRINCIPAL": "c",
    }
    result = []
    for name in ("ACCESS_TOKEN", "WORKLOAD_IDENTITY_TOKEN_FILE", "PRINCIPAL"):
        credential = sources.from_official_variables(environ).credential
        result.append((credential.kind, credential.secret, credential.source, credential.from_job))
        environ[f"{prefix}_{name}"] = ""
    assert result == [
        ("token", "a", f"{prefix}_ACCESS_TOKEN", True),
        ("workload", "b", f"{prefix}_WORKLOAD_IDENTITY_TOKEN_FILE", True),
        ("principal", "c", f"{prefix}_PRINCIPAL", True),
    ]
    assert sources.from_official_variables(environ).credential is None


@pytest.mark.parametrize(
    ("hosts", "fallback", "bound_to"),
    [
        ({"BASE_URL": "https://h", "JOBS_URL": "https://jobs"}, "https://context", "https://h"),
        ({"JOBS_URL": "https://jobs"}, "https://context", "https://jobs"),
        ({"BASE_URL": ""}, "https://context", "https://context"),
        ({}, None, DEFAULT_HOST),
    ],
)
@pytest.mark.parametrize("prefix", ["NHX", "NMP"])
def test_an_official_token_is_bound_to_its_own_host(prefix, hosts, fallback, bound_to):
    """Of the same set of variables, else of the official tool's context, else the default."""
    environ = {f"{prefix}_ACCESS_TOKEN": SECRET, **{f"{prefix}_{name}": host for name, host in hosts.items()}}
    credential = sources.from_official_variables(environ, fallback).credential
    assert credential == Credential("token", SECRET, f"{prefix}_ACCESS_TOKEN", bound_to, prefix.lower())


OFFICIAL = (
    "BASE_URL",
    "JOBS_URL",
    "WORKSPACE",
    "ACCESS_TOKEN",
    "PRINCIPAL",
    "WORKLOAD_IDENTITY_TOKEN_FILE",
    "CLIENT_SSL_CERT_FILE",
)


@given(st.sets(st.sampled_from([f"{prefix}_{name}" for prefix in ("NHX", "NMP") for name in OFFICIAL])))
def test_the_two_sets_are_never_mixed(variables):
    """A token of one product is never sent to the host of the other."""
    result = sources.from_official_variables({name: f"of {name}" for name in variables})
    used = {value.source for value in result.values.values()}
    if result.credential is not None:
        used |= {result.credential.source}
        used |= {result.credential.bound_to.removeprefix("of ")} - {DEFAULT_HOST}
    assert used <= variables
    assert len({name.partition("_")[0] for name in used}) <= 1
    assert bool(used) == bool(variables)
    assert result.credential is None or result.credential.product.upper() == result.credential.source.partition("_")[0]


@pytest.mark.parametrize(
    ("variables", "product"),
    [
        (["NHX_BASE_URL", "NMP_BASE_URL", "NMP_ACCESS_TOKEN"], "nhx"),
        (["NHX_PRINCIPAL", "NMP_BASE_URL"], "nhx"),
        (["NMP_WORKSPACE"], "nmp"),
        (["NHX_CLIENT_SSL_CERT_FILE"], "nhx"),
        (["NHX_CLIENT_SSL_CERT_FILE", "NMP_BASE_URL"], "nmp"),
        (["NHX_CLIENT_SSL_CERT_FILE", "NMP_CLIENT_SSL_CERT_FILE"], "nmp"),
        (["NHX_CURRENT_CONTEXT", "NMP_BASE_URL"], "nmp"),
        ([], "nmp"),
    ],
)
def test_helix_applies_if_it_sets_a_host_workspace_or_credential(variables, product):
    """A CA file alone applies only if nothing else is set; empty variables never do."""
    environ = dict.fromkeys(variables, "x")
    assert sources.product(environ) == product
    unset = {f"{prefix}_{name}": "" for prefix in ("NHX", "NMP") for name in OFFICIAL}
    assert sources.product({**unset, **environ}) == product


def test_the_jobs_workspace_overrides_the_official_one():
    """Inside a job."""
    environ = {"NEMO_JOB_ID": "train-x", "NEMO_JOB_WORKSPACE": "mine", "NMP_WORKSPACE": "other"}
    result = sources.from_official_variables(environ).values
    assert result["workspace"] == Sourced("mine", "NEMO_JOB_WORKSPACE")
    assert result["job"] == Sourced("train-x", "NEMO_JOB_ID")
    result = sources.from_official_variables({**environ, "NEMO_JOB_WORKSPACE": ""}).values
    assert result["workspace"] == Sourced("other", "NMP_WORKSPACE")


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("train-x", True),
        ("not-unknown", True),
        ("unknown-job-id", False),
        ("unknown", False),
        ("", False),
        (None, False),
    ],
)
def test_sentinels_mean_not_inside_a_job(name, inside):
    """The platform's own code sets `unknown-job-id` outside of jobs."""
    environ = {"NMP_ACCESS_TOKEN": SECRET} | ({} if name is None else {"NEMO_JOB_ID": name})
    assert sources.is_in_job(environ) is inside
    result = sources.from_official_variables(environ)
    assert result.values == ({"job": Sourced(name, "NEMO_JOB_ID")} if inside else {})
    assert result.credential.from_job is inside


@pytest.mark.parametrize(
    ("values", "kind", "secret"),
    [
        ({"token": "a", "token_file": "b", "token_command": "c"}, "token", "a"),
        ({"token_file": "b", "token_command": "c"}, "file", "b"),
        ({"token_command": "print it"}, "command", "print it"),
        ({"token_command": ["print", "it"]}, "command", "print\0it\0"),
        ({"token_command": ["/my tools/print"]}, "command", "/my tools/print\0"),
    ],
)
@pytest.mark.parametrize(("host", "bound_to"), [({"host": "https://h"}, "https://h"), ({}, DEFAULT_HOST)])
def test_the_token_of_a_profile_is_bound_to_its_host(values, kind, secret, host, bound_to):
    """The token comes before a file and a command; each value has the profile as its source."""
    result = sources.from_profile(Profile("lab", "profile lab (f)", MappingProxyType({**values, **host})))
    assert result.credential == Credential(kind, secret, "profile lab (f)", bound_to)
    assert {value.source for value in result.values.values()} == {"profile lab (f)"}


def test_a_profile_without_a_token_has_no_credential():
    """Its other values apply."""
    result = sources.from_profile(Profile("lab", "profile lab (f)", {"allow_http": False, "numbers": []}))
    assert result == Source({"allow_http": (False, "profile lab (f)"), "numbers": ([], "profile lab (f)")})


def test_a_repr_never_shows_a_token():
    """Tracebacks and debuggers print them."""
    profile = Profile("lab", "profile lab", {"token": SECRET, "token_command": SECRET, "host": "https://h"})
    own = sources.from_own_variables({"NEMO_JOBS_TOKEN": SECRET})
    official = sources.from_official_variables({"NMP_PRINCIPAL": SECRET})
    reprs = [repr(one) for one in (profile, sources.from_profile(profile), own, official, own.credential)]
    reprs += [repr(Settings(credential=official.credential)), f"{own.credential}", repr(Flags(token_file="/f"))]
    assert not [text for text in reprs if SECRET in text]
    assert reprs[1] == (
        "Source(['host', 'token', 'token_command'], "
        "Credential(kind='token', source='profile lab', bound_to='https://h'))"
    )
