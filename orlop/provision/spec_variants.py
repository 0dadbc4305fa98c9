"""What each variant has beyond the bases: the keys of `fcos` and our own of `orlop` 1.0.0.

The short forms of `orlop` say what the operating system's own programs read. Those that are settings come from their
table (orlop.model.settings), whatever is said of them there: `settings_type` only puts it into the words of this one.
"""

from __future__ import annotations

from typing import Any

from orlop.model.settings.document import SETTINGS
from orlop.model.settings.kinds import LOCAL, TEXT, ValueKind, WholeNumber
from orlop.model.settings.table import Setting, SettingsTable
from orlop.provision.schema import Field, Scalar, Type, boolean, integer, many, one, string, strings
from orlop.provision.spec_base import BASE, CEX, DROPIN, TANG, VARIANT, VERSION

BOOT_DEVICE = Type(
    "boot_device",
    (
        string("layout", "`x86_64` (if not given), or another architecture", json=None),
        one(
            "luks",
            Type(
                "boot_device_luks",
                (
                    one("cex", CEX, "unlock with a Crypto Express card", since=6),
                    string("device", "disk that is encrypted (s390x)", since=6),
                    boolean("discard", "pass discards on to the device", since=5),
                    many("tang", TANG, "tang servers that can unlock it"),
                    integer("threshold", "how many pins must agree"),
                    boolean("tpm2", "unlock with the machine's TPM"),
                ),
            ),
            "encrypt the root file system",
            json=None,
        ),
        one(
            "mirror",
            Type("boot_device_mirror", (strings("devices", "disks to mirror on, two or more", unique=False),)),
            "mirror the boot disk",
            json=None,
        ),
    ),
)
GRUB = Type(
    "grub",
    (
        many(
            "users",
            Type(
                "grub_user",
                (
                    string("name", "name of the user", required=True),
                    string("password_hash", "hash of the password", required=True),
                ),
                key="name",
            ),
            "who may change what GRUB starts",
        ),
    ),
)
FCOS = Type(
    "fcos",
    (
        *BASE,
        one("boot_device", BOOT_DEVICE, "encrypt or mirror the boot disk", json=None),
        one("grub", GRUB, "users of the boot loader GRUB", json=None, since=5),
    ),
)
FLATCAR = Type("flatcar", BASE)
IGNITION_JSON = Type("ignition_json", tuple(f for f in BASE if f not in (VARIANT, VERSION)))


def settings_type(table: SettingsTable) -> Type:
    """A table of settings as a kind of object of the config language."""
    return Type(table.name, tuple(map(_field, table.settings)), table.key)


def _field(setting: Setting[Any]) -> Field:
    kind: Scalar | Type = Scalar.STRING
    if isinstance(setting.kind, SettingsTable):
        kind = settings_type(setting.kind)
    elif isinstance(setting.kind, WholeNumber):
        kind = Scalar.INT
    return Field(
        setting.name,
        kind,
        setting.doc,
        many=setting.many > 0,
        required=setting.required,
        json=None,
        choices=setting.kind.choices if isinstance(setting.kind, ValueKind) else (),
        default=setting.default,
        said="" if isinstance(setting.kind, SettingsTable) or setting.kind in (TEXT, LOCAL) else setting.kind.said,
        reader=setting.reader,
    )


_QUADLET = "podman's Quadlet generator"
QUADLET = Type(
    "quadlet",
    (
        string("name", "file name with its suffix: `web.container`", required=True, reader=_QUADLET),
        string("contents", "text of the Quadlet file", reader=_QUADLET),
        string(
            "contents_local",
            "file below the files directory that holds the text",
            reader="orlop/provision/sugar/settings.py",
        ),
        many("dropins", DROPIN, "files that change it", reader=_QUADLET),
    ),
    key="name",
)
ORLOP = Type(
    "orlop",
    (
        *BASE,
        *settings_type(SETTINGS).fields,
        many("quadlets", QUADLET, "containers", json=None, reader=_QUADLET),
    ),
)
