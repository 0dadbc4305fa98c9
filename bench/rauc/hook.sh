#!/bin/sh
# After the usr image: the UKI, under its own name only when it is whole.
set -e
[ "$1" = slot-post-install ]
esp=/mnt/machine.esp/EFI/Linux
cp "$RAUC_BUNDLE_MOUNT_POINT/uki.efi" "$esp/rauc.part"
sync "$esp/rauc.part"
mv "$esp/rauc.part" "$esp/@UKI@"
