"""Blobs that the storage has damaged or lost, stored anew from the image that they came from.

Invariant: nothing that is signed changes, so no key is needed: only an image that a channel has is taken, and every
blob must hash to what its index says. Patches are not made again: machines do without them.
"""

from __future__ import annotations

from collections.abc import Mapping

from orlop.built import BuiltImage
from orlop.errors import BadInput, Missing
from orlop.model.release.index import PARTS
from orlop.publish.content import sbom
from orlop.publish.content.publish import blobs_of, read_index
from orlop.publish.repository.repository import RepositoryState, Upload
from orlop.publish.storage.storage import Storage


def damaged(storage: Storage, state: RepositoryState, built: BuiltImage) -> Mapping[str, Upload | bytes]:
    """What is not in the storage as it was signed, by name. Every byte there is read.

    Raises Missing when no channel has the image's version, and BadInput when it is another image of that version.
    """
    entries = [
        (name, e) for name, channel in state.documents.items() if (e := channel.entry(built.version)) is not None
    ]
    if not entries:
        raise Missing(f"no channel has {built.version}", hint="orlop release publish puts it on one")
    indexes = [read_index(storage, state, name, entry, i.arch) for name, entry in entries for i in entry.images]
    own = [built.index.part(part).blob for part in PARTS]
    if not any([index.part(part).blob for part in PARTS] == own for index in indexes):
        raise BadInput(
            f"the image in {built.folder} is not the {built.version} that was published",
            hint="it takes the very image; publish a newer version, and pull this one back",
        )
    signed = {blob.path for blob in own} | {f"blobs/{entry.sbom}" for _, entry in entries}
    blobs = blobs_of(built, sbom.encode(sbom.spdx(built)))
    return {
        path: blob for path, blob in blobs.items() if path in signed and storage.sha256(path) != path.rpartition("/")[2]
    }
