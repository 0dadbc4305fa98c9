"""The Butane file of each kind of machine, as text: people edit it, so it says what each part is for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orlop.cluster.authority import Authority
from orlop.model.cluster.names import Role
from orlop.model.cluster.token import Token
from orlop.model.words.strict import stamp

_HEAD = """\
# {what} of cluster {name}. Made by `orlop cluster new`; add to it what else the machine is to be.
{more}variant: orlop
version: 1.0.0
cluster:
  name: {name}
  role: {role}
  # where servers are found: addresses or names; one that answers is enough
  servers: [{servers}]
"""
_WARNING = "# It holds the cluster's keys: who can read it can be a server.\n"
_FORM = """\
  # it makes the cluster's store when no other server answers, until then; later it joins as any other server
  form: {{until: "{until}", servers: {size}}}
"""


@dataclass(frozen=True)
class About:
    """What every machine of a cluster is told. `replace_after`: servers only, "" for the default."""

    name: str
    servers: Sequence[str]
    replace_after: str = ""


def first_server(about: About, ca: Authority, store: Authority, *, until: datetime, size: int) -> str:
    head = _head("The first server", about, Role.SERVER, _WARNING)
    return head + _FORM.format(until=stamp(until), size=size) + _authorities(ca, store)


def server(about: About, ca: Authority, store: Authority) -> str:
    return _head("A further server", about, Role.SERVER, _WARNING) + _authorities(ca, store)


def worker(about: About, token: Token) -> str:
    more = f"# Its token lets a machine in until {stamp(token.ends)}, and has the hash of the CA it is to trust.\n"
    return _head("A worker", about, Role.WORKER, more) + f"  token: {token}\n"


def _head(what: str, about: About, role: Role, more: str) -> str:
    quoted = ", ".join(f'"{server}"' for server in about.servers)
    text = _HEAD.format(what=what, name=about.name, role=role, servers=quoted, more=more)
    if about.replace_after and role is Role.SERVER:
        text += f"  replace_after: {about.replace_after}\n"
    return text


def _authorities(ca: Authority, store: Authority) -> str:
    texts = {
        "ca": ca.certificate,
        "ca_key": ca.key,
        "store_ca": store.certificate,
        "store_ca_key": store.key,
    }
    return "".join(f"  {key}: |\n{_indented(text)}" for key, text in texts.items())


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
