"""How many members the store is to have, changed: one key of the store, by which the leader's server goes.

Members come and go one at a time, and none goes whose going would take the quorum away (model.cluster.decide): so this
may be said at any moment, also while an earlier change is under way.
"""

from __future__ import annotations

from orlop.cluster.settings import ClusterSettings
from orlop.errors import OrlopError
from orlop.model.cluster.names import SIZE_KEY
from orlop.model.cluster.sizing import answer, refusal
from orlop.net.errors import Unreachable
from orlop.node.cluster import memory as memories
from orlop.node.cluster import tls
from orlop.node.cluster.etcd import Endpoint
from orlop.node.cluster.host import ServerHost, addresses
from orlop.node.cluster.look import LOCAL, Looker


def resize(host: ServerHost, settings: ClusterSettings, size: int) -> str:
    """What will happen now. Raises BadInput, Unreachable, OrlopError."""
    if wrong := refusal(size):
        raise wrong
    context = tls.context(host.tls)
    hosts = dict.fromkeys((LOCAL, *addresses(settings.servers), *memories.read(host.state).hosts))
    said = "nobody was asked"
    for each in hosts:
        endpoint = Endpoint(each, context)
        try:
            members = endpoint.members().members
            waiting = Looker.waiting(endpoint, members)
            endpoint.put(SIZE_KEY, str(size))
        except OrlopError as e:
            said = e.message
            continue
        return answer(size, sum(not m.is_learner for m in members), waiting)
    raise Unreachable(
        f"no server with a quorum behind it takes it: {said}", hint="`orlop cluster doctor` says what is wrong"
    )
