from __future__ import annotations

from dataclasses import replace

import pytest

from orlop.model.cluster.restoring import RestoringServer, SnapshotOrigin, server_refusal, snapshot_refusal

SERVER = RestoringServer("cl", "a" * 64)
OWN = SnapshotOrigin("cl", "a" * 64)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (SERVER, ""),
        (replace(SERVER, has_data=True, answers="10.0.0.2"), "this server has data of a store already"),
        (replace(SERVER, answers="10.0.0.2", waits="10.0.0.3"), "10.0.0.2 has its store, and answers"),
        (replace(SERVER, waits="10.0.0.3"), "10.0.0.3 has data of a store that waits for more of its members"),
    ],
)
def test_server_is_refused_for_what_would_be_lost(server: RestoringServer, said: str) -> None:
    refusal = server_refusal(server)
    assert (said in refusal.message and refusal.hint) if refusal else not said


@pytest.mark.parametrize(
    ("origin", "of", "said"),
    [
        (OWN, "", ""),
        (OWN, "cl", ""),
        (replace(OWN, ca=""), "", ""),  # taken before the store said it
        (replace(OWN, ca="b" * 64), "", "another cluster that is called cl too"),
        (replace(OWN, ca="b" * 64), "cl", ""),
        (SnapshotOrigin("old", "b" * 64), "", "of cluster old, and this server is of cluster cl"),
        (SnapshotOrigin("old", "b" * 64), "old", ""),
        (SnapshotOrigin("old", "b" * 64), "older", "is of cluster old, not of older"),
        (SnapshotOrigin(), "", "something that is not a cluster of Orlop"),
        (SnapshotOrigin(), "cl", "something that is not a cluster of Orlop"),
    ],
)
def test_snapshot_of_another_cluster_is_taken_only_when_that_is_said(
    origin: SnapshotOrigin, of: str, said: str
) -> None:
    refusal = snapshot_refusal(SERVER, origin, of)
    assert (said in refusal.message and refusal.hint) if refusal else not said
