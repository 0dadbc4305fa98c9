"""The OpenID Connect provider of a cluster's people: its keys are fetched and kept, tokens are verified by them.

    ISSUER/.well-known/openid-configuration → jwks_uri → keys, by their names
    token → read → judged → its key → its signature → Caller, remembered for a while

Why no library: those there are lean on `cryptography` (4.5 MB of image, 17 MB of memory in the process) for one call.
RSA is verified here, by public numbers alone; ECDSA by `openssl` in a child, as certificates are signed (ADR 0018).

Invariants: the provider is asked only over TLS, at the address in the settings and the one that it names; not more
often than every `LEAST_SECONDS`, whatever tokens say. A key that it has taken back is believed for FRESH_SECONDS and
REMEMBER at most while it answers, and for KEEP_SECONDS when it does not. A token is remembered by its hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from orlop.control.signing import ClusterSigner
from orlop.errors import BadInput, OrlopError
from orlop.model.cluster import oidc
from orlop.model.cluster.access import Caller
from orlop.model.cluster.oidc import EcKey, OidcSettings, ProviderKey, SignedToken
from orlop.model.words.strict import Fields, parse_json
from orlop.net.tls import client_context
from orlop.store.protocol import Unavailable

SECONDS = 8.0  # for one document of the provider's
LARGEST = 1 << 18  # bytes of one
LEAST_SECONDS = 30.0  # between two times that it is asked
FRESH_SECONDS = 900.0  # after which its keys are fetched anew, when a token comes
KEEP_SECONDS = 24 * 3600.0  # for which keys are believed while it does not answer
REMEMBERED, REMEMBER = 1000, timedelta(minutes=5)  # tokens, and how long without verifying them again
log = logging.getLogger("orlop.control")


class ProviderAway(Unavailable):
    """It was never reached, or not for a long time: nobody's token can be verified."""


@dataclass
class OidcProvider:
    """`signer`: whose openssl verifies. `clock`: seconds that only grow."""

    settings: OidcSettings
    signer: ClusterSigner
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, tuple[str, ProviderKey]] = field(default_factory=dict)
    _fetched: float | None = None
    _tried: float | None = None
    _why: str = ""
    _fetching: asyncio.Lock = field(default_factory=asyncio.Lock)
    _verifying: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    _known: OrderedDict[bytes, tuple[Caller, datetime]] = field(default_factory=OrderedDict)

    async def caller(self, token: str, now: datetime) -> Caller:
        """Whose token it is. Raises BadInput, NotAllowed; ProviderAway when that cannot be told now."""
        ident = hashlib.sha256(token.encode()).digest()
        known = self._known.get(ident)
        if known is not None and now < known[1]:
            return known[0]
        signed = oidc.read(token)
        # all that costs nothing comes first: who wants a signature verified must at least know what is asked for
        caller = oidc.judge(self.settings, signed.claims, now)
        key = await self._key(signed)
        if not await self._verifies(signed, key):
            raise BadInput("its signature is not by the provider's key")
        assert caller.until is not None
        self._known[ident] = (caller, min(now + REMEMBER, caller.until))
        self._known.move_to_end(ident)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return caller

    async def _key(self, signed: SignedToken) -> ProviderKey:
        """Raises BadInput when the provider has no such key, ProviderAway."""
        found = self._there(signed)
        if found is None or self._is_older(FRESH_SECONDS):
            async with self._fetching:
                # the one before may have fetched it while this one waited
                if self._there(signed) is None or self._is_older(FRESH_SECONDS):
                    await self._fetch()
            found = self._there(signed)
        if self._is_older(KEEP_SECONDS):
            raise ProviderAway(f"the identity provider {self.settings.issuer} does not answer: {self._why}",
                               hint="certificates and bearer tokens go on")  # fmt: skip
        if found is None:
            raise BadInput("it is signed by a key that the provider does not show")
        return found

    def _there(self, signed: SignedToken) -> ProviderKey | None:
        if not signed.kid:
            fitting = [key for alg, key in self._keys.values() if alg == signed.alg]
            return fitting[0] if len(fitting) == 1 else None
        alg, key = self._keys.get(signed.kid, ("", None))
        return key if alg == signed.alg else None

    def _is_older(self, seconds: float) -> bool:
        return self._fetched is None or self.clock() - self._fetched > seconds

    async def _fetch(self) -> None:
        """New keys, if it is time to ask and the provider answers; what is known stays else."""
        now = self.clock()
        if self._tried is not None and now - self._tried < LEAST_SECONDS:
            return
        self._tried = now
        try:
            self._keys = await asyncio.to_thread(self._keys_of_provider)
        except (OrlopError, OSError) as e:
            self._why = e.message if isinstance(e, OrlopError) else str(e)
            log.warning("the identity provider's keys were not fetched: %s", self._why)
        else:
            self._fetched = now

    def _keys_of_provider(self) -> dict[str, tuple[str, ProviderKey]]:
        """Raises NetError, BadInput, OSError (an authority that is none)."""
        issuer = self.settings.issuer
        context = client_context(self.settings.ca) if self.settings.ca else ssl.create_default_context()
        raw = _document(f"{issuer.rstrip('/')}/.well-known/openid-configuration", context)
        found = Fields.of("", parse_json(raw, LARGEST))
        if found.values.get("issuer") != issuer:
            raise BadInput(f"what is at {issuer} calls itself by another name", hint="write it as the provider does")
        where = found.text("jwks_uri", 2000)
        if not where.startswith("https://"):
            raise BadInput("the provider shows its keys without TLS (jwks_uri)")
        return oidc.keys_of(_document(where, context))

    async def _verifies(self, signed: SignedToken, key: ProviderKey) -> bool:
        if not isinstance(key, EcKey):
            return oidc.rsa_verifies(key, hashlib.sha256(signed.signed).digest(), signed.signature)
        signature = oidc.ecdsa_der(signed.signature)
        async with self._verifying:  # a child of 30 ms: one at a time, or tokens that are none would take a processor
            with tempfile.TemporaryDirectory(prefix="orlop-verify-") as folder:
                files = {name: Path(folder, name) for name in ("key", "signature", "signed")}
                for name, content in (
                    ("key", oidc.pem(key).encode()),
                    ("signature", signature),
                    ("signed", signed.signed),
                ):
                    files[name].write_bytes(content)
                try:
                    await self.signer.ask("dgst", "-sha256", "-verify", str(files["key"]), "-signature",
                                          str(files["signature"]), str(files["signed"]))  # fmt: skip
                except OrlopError:
                    return False
                return True


def _document(url: str, context: ssl.SSLContext) -> bytes:
    """Raises NetError."""
    from orlop.net.dial import Patience  # http.client and what it leans on are megabytes, for clusters with a provider
    from orlop.net.exchange import Client

    with closing(Client(Patience(SECONDS), redirects=0, context=context)) as client:
        reply = client.ask(url, "its configuration")
        if reply.status != 200:
            raise BadInput(f"{url} is answered with {reply.status}")
        return reply.whole(LARGEST)
