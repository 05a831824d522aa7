"""uv installs the lock from where pip is set up to install from: its index, its credentials, its certificates."""

import runpy
from pathlib import Path

INSTALL = runpy.run_path(str(Path(__file__).resolve().parents[2] / ".ci" / "install.py"))
LISTED = """\
:env:.cert='/etc/certs.pem'
:env:.disable-pip-version-check='1'
global.extra-index-url='https://more.example/simple\\nhttps://other.example/simple'
global.find-links='/opt/wheels /opt/more'
global.index-url='https://me:secret@index.example/simple'
global.timeout=60
"""


def uv_environment(listed: str, **known: str) -> dict[str, str]:
    return INSTALL["uv_environment"](INSTALL["pip_settings"](listed), known)


def test_uv_gets_what_pip_is_set_up_with():
    assert uv_environment(LISTED) == {
        "UV_DEFAULT_INDEX": "https://me:secret@index.example/simple",
        "UV_INDEX": "https://more.example/simple https://other.example/simple",
        "UV_FIND_LINKS": "/opt/wheels,/opt/more",
        "SSL_CERT_FILE": "/etc/certs.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_without_settings_uv_uses_its_own_index():
    assert uv_environment("", HOME="/home/me") == {"HOME": "/home/me", "UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_what_uv_is_set_up_with_itself_wins():
    assert uv_environment(LISTED, UV_DEFAULT_INDEX="https://mine.example")["UV_DEFAULT_INDEX"] == "https://mine.example"
