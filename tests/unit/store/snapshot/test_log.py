from __future__ import annotations

from orlop.store.snapshot.log import Identity, crc32c

WHO = Identity("n1-00000001", "https://10.0.0.1:2380", "tok")


def test_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283


def test_ids_are_those_that_etcd_makes() -> None:
    """As `etcdutl snapshot restore` said them."""
    assert (WHO.member, WHO.cluster) == (0xD737151A3F4CDCFE, 0x3BE072F242ECD266)


def test_other_token_makes_another_cluster() -> None:
    other = Identity(WHO.name, WHO.peer, "tok2")
    assert (other.member, other.cluster) != (WHO.member, WHO.cluster)
