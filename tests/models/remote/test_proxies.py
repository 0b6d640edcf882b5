"""The environment's proxies and certificates, as far as a request needs them."""

from __future__ import annotations

import pytest

from langchain_qstar.errors import ModelError, SettingsError
from langchain_qstar.models.remote.policy import RemotePolicy
from langchain_qstar.models.remote.proxies import named, proxy_for, route

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def make(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return make


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://host/v1", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://host/v1", "http://p:1"),
        ({"http_proxy": "p:1"}, "http://host/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://host/v1", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://host/v1", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "https://host/v1", "socks5://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "host"}, "http://host/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".corp"}, "http://a.corp/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://host/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "fe80::/10"}, "http://[fe80::1]/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "fe80::/10"}, "http://host/v1", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "http://127.0.0.1:8000/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://[::1]:8000/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://localhost:8000/v1", None),
    ],
)
def test_a_request_goes_through_the_proxy_that_the_environment_names(
    environment, variables, url, proxy
):
    environment(**variables)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"ALL_PROXY": "socks5://me:SECRET@p:1"}, r"socks5://p:1 \(of ALL_PROXY\) is a SOCKS"),
        ({"HTTPS_PROXY": "ftp://p:1"}, r"ftp://p:1 \(of HTTPS_PROXY\) is no proxy"),
        ({"SSL_CERT_FILE": "/nowhere"}, "SSL_CERT_FILE=/nowhere: no certificates there"),
    ],
)
def test_what_cannot_be_used_is_one_line(environment, monkeypatch, variables, says):
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    environment(**variables)
    with pytest.raises(SettingsError, match=says) as raised:
        RemotePolicy.connect("m", "https://host/v1")
    assert "SECRET" not in str(raised.value)


def test_a_socks_proxy_that_no_request_needs_is_not_looked_at(environment, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    environment(ALL_PROXY="socks5://127.0.0.1:9")
    route("http://127.0.0.1:8000/v1")


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_server_on_this_machine_needs_no_proxy(environment, serve, variable):
    environment(**{variable: "http://127.0.0.1:9"})
    RemotePolicy.connect("m", serve().url).close()


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_proxy_that_is_down_is_named_without_its_password(environment):
    environment(HTTP_PROXY="http://me:SECRET@127.0.0.1:9")
    with pytest.raises(ModelError, match=r"through the proxy http://127.0.0.1:9 \(of HTTP_P") as e:
        RemotePolicy.connect("m", "http://host.invalid:8000/v1", retries=0)
    assert "SECRET" not in str(e.value)


def test_a_proxy_of_the_system_is_named_as_such(environment):
    assert named("http://p:1") == "http://p:1 (of the system's settings)"
