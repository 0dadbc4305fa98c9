"""The table of Butane's bases 0.1 to 0.7: what every variant has in common, and which base brought each key.

What Ignition 3.3.0 has no word for is in the table too: a config says it, and is told what to do instead (see
`variants.UNMEANT`). Source: the Butane specifications of `fcos` 1.0.0 to 1.7.0 and `flatcar` 1.0.0 and 1.1.0, and
Ignition's configuration 3.0.0 to 3.6.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orlop.provision.schema import Type, boolean, integer, many, mode, one, string, strings

VERIFICATION = Type(
    "verification",
    (
        string(
            "hash", "`sha256-` or `sha512-` and the hash in hex; of the decompressed contents if `compression` is set"
        ),
    ),
)
HEADER = Type(
    "header",
    (
        string("name", "name of the header", required=True),
        string("value", "its value; a header without value is taken out when configs are merged"),
    ),
    key="name",
)
_CONTENTS = "orlop/provision/sugar/resources.py"
_TREES = "orlop/provision/sugar/trees.py"
RESOURCE = Type(
    "resource",
    (
        string("compression", "`gzip` if the contents are compressed; chosen by itself for `inline` and `local`"),
        many("http_headers", HEADER, "headers sent with the request (`http` and `https` only)", since=2),
        string("source", "URL of the contents: `http`, `https`, `tftp`, `s3`, `gs` or `data`"),
        one("verification", VERIFICATION, "check of what was fetched"),
        string("inline", "the contents, written here", json=None, reader=_CONTENTS),
        string("local", "file below the files directory that holds the contents", json=None, since=2, reader=_CONTENTS),
    ),
    key="source",
)
OWNER_USER = Type("user", (integer("id", "user id"), string("name", "user name")))
OWNER_GROUP = Type("group", (integer("id", "group id"), string("name", "group name")))
_NODE = (
    one("group", OWNER_GROUP, "group that owns it, by id or by name"),
    boolean("overwrite", "replace what is already at the path"),
    string("path", "absolute path", required=True),
    one("user", OWNER_USER, "user that owns it, by id or by name"),
)
DIRECTORY = Type("directory", (*_NODE, mode("permissions, in octal with a leading 0; 0755 if not given")), key="path")
FILE = Type(
    "file",
    (
        *_NODE,
        many("append", RESOURCE, "contents added at the end of the file", unique=False),
        one("contents", RESOURCE, "contents of the file"),
        mode("permissions, in octal with a leading 0; 0644 if not given"),
    ),
    key="path",
)
LINK = Type(
    "link",
    (
        *_NODE,
        boolean("hard", "make a hard link, not a symbolic one"),
        string("target", "what it points at"),
    ),
    key="path",
)
_OURS_7: Mapping[str, Any] = {"json": None, "since": 7, "reader": _TREES}
TREE = Type(
    "tree",
    (
        string("local", "folder below the files directory", required=True, json=None, reader=_TREES),
        string("path", "where its contents go; `/` if not given", json=None, reader=_TREES),
        mode("permissions of its files; 0755 if anyone may run it and else 0644, if not given", "file_mode", **_OURS_7),
        mode("permissions of its folders; 0755 if not given", "dir_mode", **_OURS_7),
        one("user", OWNER_USER, "user that owns all of it", **_OURS_7),
        one("group", OWNER_GROUP, "group that owns all of it", **_OURS_7),
    ),
)
PARTITION = Type(
    "partition",
    (
        string("guid", "GUID of the partition"),
        string("label", "label of the partition (at most 36 bytes, no colon)"),
        integer("number", "number in the partition table, from 1; 0 or none: the next free one"),
        boolean("resize", "resize an existing partition that differs only in size", since=3),
        boolean("should_exist", "false: the partition is removed"),
        integer("size_mib", "size in MiB; 0: all that is free"),
        integer("start_mib", "start in MiB; 0: the largest free stretch"),
        string("type_guid", "GUID of the partition's type"),
        boolean("wipe_partition_entry", "remove a partition in the way; else the boot stops"),
    ),
)
DISK = Type(
    "disk",
    (
        string("device", "absolute path of the disk", required=True),
        many("partitions", PARTITION, "partitions of the disk"),
        boolean("wipe_table", "clear the partition table first"),
    ),
    key="device",
)
RAID = Type(
    "raid",
    (
        strings("devices", "absolute paths of the members"),
        string("level", "`linear`, `raid0`, `raid1`, `raid4`, `raid5`, `raid6` or `raid10`"),
        string("name", "name of the array", required=True),
        strings("options", "options for mdadm", unique=False),
        integer("spares", "how many members are spares"),
    ),
    key="name",
)
_MOUNTS: Mapping[str, Any] = {"json": None, "since": 2, "reader": "orlop/provision/sugar/mounts.py"}
FILESYSTEM = Type(
    "filesystem",
    (
        string("device", "absolute path of the block device", required=True),
        string("format", "`ext4`, `btrfs`, `xfs`, `vfat`, `swap` or `none`"),
        string("label", "label of the file system"),
        strings("mount_options", "options for mounting", unique=False, since=2),
        strings("options", "options for the program that makes the file system", unique=False),
        string("path", "where it is mounted while the machine is configured"),
        string("uuid", "UUID of the file system"),
        boolean("wipe_filesystem", "make it anew although a fitting one is there"),
        boolean("with_mount_unit", "write a systemd mount unit (or swap unit) for it too", **_MOUNTS),
    ),
    key="device",
)
TANG = Type(
    "tang",
    (
        string("thumbprint", "thumbprint of the server's key", required=True),
        string("url", "URL of the server", required=True),
        string("advertisement", "what the server advertises, so that it need not be asked", since=5),
    ),
    key="url",
)
CLEVIS_CUSTOM = Type(
    "clevis_custom",
    (
        string("config", "configuration of the pin, JSON"),
        boolean("needs_network", "the pin needs the network"),
        string("pin", "`tpm2`, `tang` or `sss`"),
    ),
)
CLEVIS = Type(
    "clevis",
    (
        one("custom", CLEVIS_CUSTOM, "a pin configured by hand; excludes the others"),
        many("tang", TANG, "tang servers that can unlock it"),
        integer("threshold", "how many pins must agree"),
        boolean("tpm2", "unlock with the machine's TPM"),
    ),
)
CEX = Type("cex", (boolean("enabled", "use a Crypto Express card (s390x)"),))
LUKS = Type(
    "luks",
    (
        one("cex", CEX, "unlocking by a Crypto Express card", since=6),
        one("clevis", CLEVIS, "unlocking by clevis"),
        string("device", "absolute path of the block device", required=True),
        boolean("discard", "pass discards on to the device", since=5),
        one("key_file", RESOURCE, "contents of the key file"),
        string("label", "label of the LUKS volume (at most 47 bytes)"),
        string("name", "name under /dev/mapper", required=True),
        strings("open_options", "options for opening the volume", unique=False, since=5),
        strings("options", "options for cryptsetup", unique=False),
        string("uuid", "UUID of the LUKS volume"),
        boolean("wipe_volume", "make it anew although a fitting one is there"),
    ),
    key="name",
)
STORAGE = Type(
    "storage",
    (
        many("directories", DIRECTORY, "folders to make", group="node"),
        many("disks", DISK, "disks and their partitions"),
        many("files", FILE, "files to write", group="node"),
        many("filesystems", FILESYSTEM, "file systems to make"),
        many("links", LINK, "links to make", group="node"),
        many("luks", LUKS, "encrypted volumes", since=3),
        many("raid", RAID, "RAID arrays"),
        many(
            "trees",
            TREE,
            "folders of files and links, copied from the files directory",
            json=None,
            unique=False,
            since=2,
            reader=_TREES,
        ),
    ),
)
_LOCAL_5: Mapping[str, Any] = {"json": None, "since": 5, "reader": "orlop/provision/sugar/texts.py"}
DROPIN = Type(
    "dropin",
    (
        string("contents", "its text"),
        string("contents_local", "file below the files directory that holds it", **_LOCAL_5),
        string("name", "file name, ending in `.conf`", required=True),
    ),
    key="name",
)
UNIT = Type(
    "unit",
    (
        string("contents", "text of the unit"),
        string("contents_local", "file below the files directory that holds it", **_LOCAL_5),
        many("dropins", DROPIN, "files that change the unit"),
        boolean("enabled", "start it at boot (needs an [Install] section), or not"),
        boolean("mask", "make it impossible to start"),
        string("name", "file name with its suffix: `web.service`", required=True),
    ),
    key="name",
)
SYSTEMD = Type("systemd", (many("units", UNIT, "systemd units"),))
GROUP = Type(
    "passwd_group",
    (
        integer("gid", "group id"),
        string("name", "name of the group", required=True),
        string("password_hash", "hash of the group's password"),
        boolean("should_exist", "false: the group is removed", since=3),
        boolean("system", "make it a system group"),
    ),
    key="name",
)
USER = Type(
    "passwd_user",
    (
        string("gecos", "full name"),
        strings("groups", "further groups"),
        string("home_dir", "home directory"),
        string("name", "name of the user", required=True),
        boolean("no_create_home", "make no home directory"),
        boolean("no_log_init", "leave the user out of lastlog and faillog"),
        boolean("no_user_group", "make no group of the same name"),
        string("password_hash", "hash of the password"),
        string("primary_group", "main group"),
        strings("ssh_authorized_keys", "SSH public keys that may log in"),
        strings(
            "ssh_authorized_keys_local", "files below the files directory that hold such keys, one a line", **_LOCAL_5
        ),
        string("shell", "login shell"),
        boolean("should_exist", "false: the user is removed", since=3),
        boolean("system", "make it a system user"),
        integer("uid", "user id"),
    ),
    key="name",
)
PASSWD = Type("passwd", (many("groups", GROUP, "groups"), many("users", USER, "users")))
KERNEL = Type(
    "kernel_arguments",
    (
        strings("should_exist", "arguments that must be there", group="argument"),
        strings("should_not_exist", "arguments that must not be there", group="argument"),
    ),
)
IGNITION = Type(
    "ignition",
    (
        one(
            "config",
            Type(
                "ignition_config",
                (
                    many("merge", RESOURCE, "configs merged into this one"),
                    one("replace", RESOURCE, "a config used instead of this one"),
                ),
            ),
            "other Ignition configs",
        ),
        one(
            "proxy",
            Type(
                "proxy",
                (
                    string("http_proxy", "URL of the proxy for http"),
                    string("https_proxy", "URL of the proxy for https"),
                    strings("no_proxy", "hosts reached without proxy"),
                ),
            ),
            "proxy for fetching",
            since=2,
        ),
        one(
            "security",
            Type(
                "security",
                (
                    one(
                        "tls",
                        Type(
                            "tls", (many("certificate_authorities", RESOURCE, "further certificate authorities, PEM"),)
                        ),
                        "TLS",
                    ),
                ),
            ),
            "trust while fetching",
        ),
        one(
            "timeouts",
            Type(
                "timeouts",
                (
                    integer("http_response_headers", "seconds to wait for response headers; 10 if not given"),
                    integer("http_total", "seconds for a whole transfer; 0: no limit"),
                ),
            ),
            "patience while fetching",
        ),
    ),
)
_TRANSLATOR = "orlop/provision/variants.py"
VARIANT = string("variant", "which kind of config this is", required=True, json=None, reader=_TRANSLATOR)
VERSION = string("version", "version of the variant", required=True, json=None, reader=_TRANSLATOR)
BASE = (
    VARIANT,
    VERSION,
    one("ignition", IGNITION, "how Ignition itself works"),
    one("kernel_arguments", KERNEL, "arguments of the kernel", since=4),
    one("passwd", PASSWD, "users and groups"),
    one("storage", STORAGE, "disks, file systems, files"),
    one("systemd", SYSTEMD, "systemd units"),
)
