#!/usr/bin/env python3
"""Our client behind the command line that the public TUF conformance suite speaks (its CLIENT-CLI.md).

    conformance_client.py --metadata-dir DIR init TRUSTED_ROOT
    conformance_client.py --metadata-dir DIR --metadata-url URL refresh
    conformance_client.py --metadata-dir DIR --metadata-url URL --target-name PATH --target-base-url URL \
        --target-dir DIR download

The suite takes it as its `--entrypoint`.
Exit status 0 when it succeeded fully, 1 when any part was refused or could not be had.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from orlop.errors import OrlopError
from orlop.files import write_atomic
from orlop.trust import client, verify
from orlop.trust.cache import FolderCache
from orlop.trust.http import fetcher

GIVEN = "trusted_root"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url", default="")
    parser.add_argument("--target-name", default="")
    parser.add_argument("--target-base-url", default="")
    parser.add_argument("--target-dir", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    args = parser.parse_args()
    try:
        return run(args)
    except OrlopError as e:
        print(f"{type(e).__name__}: {e.message}", file=sys.stderr)  # noqa: T201
        return 1


def run(args: argparse.Namespace) -> int:
    cache = FolderCache(args.metadata_dir)
    if args.command == "init":
        root = args.trusted_root.read_bytes()
        cache.write(GIVEN, root)
        cache.write("root.json", root)
        return 0
    metadata = fetcher(args.metadata_url)
    t = client.refresh(cache.read(GIVEN) or b"", cache, metadata, datetime.now(UTC))
    if args.command == "refresh":
        return 0
    t, info = client.find(t, args.target_name, cache, metadata)
    if info is None:
        print(f"there is no target {args.target_name}", file=sys.stderr)  # noqa: T201
        return 1
    place = args.target_dir / client.target_path(t, info).split(".", 1)[-1].replace("/", "%2F")
    try:
        verify.target_bytes(info, place.read_bytes())
    except (FileNotFoundError, OrlopError):
        write_atomic(place, client.target(t, info, fetcher(args.target_base_url)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
