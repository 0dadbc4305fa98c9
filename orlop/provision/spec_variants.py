"""What each variant has beyond base 0.4: the keys of `fcos` 1.4.0 and our own of `orlop` 1.0.0.

The short forms of `orlop` say what the operating system's own programs read. Each becomes one file, and the path of
that file is part of the contract: `sugar/settings.py` writes it, the program named there reads it.
"""

from __future__ import annotations

from orlop.provision.schema import Type, boolean, integer, many, one, string, strings
from orlop.provision.spec_base import BASE, DROPIN, TANG

BOOT_DEVICE = Type(
    "boot_device",
    (
        string("layout", "`x86_64` (if not given), `aarch64` or `ppc64le`", json=None),
        one(
            "luks",
            Type(
                "boot_device_luks",
                (
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
FCOS = Type("fcos", (*BASE, one("boot_device", BOOT_DEVICE, "encrypt or mirror the boot disk", json=None)))
FLATCAR = Type("flatcar", BASE)

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOW = Type(
    "update_window",
    (
        strings("days", "days on which it opens: `mon` … `sun`; every day if not given", choices=DAYS),
        string("start", "time at which it opens, `HH:MM`", required=True),
        integer("minutes", "how long it stays open, 1 to 1440", required=True),
        string("timezone", "time zone of `start`, as in `Europe/Berlin`", default="UTC"),
    ),
)
LOCK = Type(
    "update_lock",
    (
        string("url", "FleetLock server (`http` or `https`)", required=True),
        string("group", "group whose slots are counted", default="default"),
    ),
)
UPDATE = Type(
    "update",
    (
        string("channel", "channel to follow: `alpha`, `beta`, `stable` or one of your own", default="stable"),
        strings("urls", "where releases come from, in order of preference; the image's own if not given"),
        string("group", "group that rollouts and groups of machines know this machine by", default="default"),
        string("pin", "stay at this version (`YYYYMMDD.N`)"),
        string("proxy", "proxy that releases are fetched through, `http://[USER:PASSWORD@]HOST:PORT`"),
        strings("no_proxy", "hosts, and domains that begin with a dot, which are reached without it"),
        string(
            "bandwidth", "most bytes a second that fetching takes: `500k`, `2M`; 10k to 99999M. No limit if not given"
        ),
        string("check_every", "time between two questions for a release: `90s`, `5m`, `1h`; 10 s to 4 h", default="5m"),
        string(
            "strategy",
            "when to reboot into a new version: at once, in a window, or when told",
            choices=("immediate", "window", "off"),
            default="immediate",
        ),
        one("window", WINDOW, "when reboots are allowed; needed by the strategy `window`"),
        one("lock", LOCK, "lock to hold while rebooting, so that not all machines of a group do at once"),
    ),
)
HEALTH_CHECK = Type(
    "health_check",
    (
        string("name", "file name; checks run in the order of their names", required=True),
        string("contents", "text of the program: a script for `/bin/sh`"),
        string("contents_local", "file below the files directory that holds the program"),
    ),
    key="name",
)
HEALTH = Type(
    "health",
    (
        string("timeout", "time each check has to answer: `30s`, `2m`; 1 s to 10 min", default="60s"),
        string("soak", "how long everything must stay well before there is a verdict; at most `24h`", default="0s"),
        many("checks", HEALTH_CHECK, "programs that say whether a boot is good: it is when they return 0"),
    ),
)
CLUSTER = Type(
    "cluster",
    (
        strings("servers", "control servers, `https://HOST[:PORT]`", required=True),
        string("token", "join token; kept in a file only root can read", required=True),
        string("ca_hash", "`sha256:` and the hash of the cluster's CA certificate, in hex", required=True),
        strings("roles", "what the machine does", choices=("server", "worker"), default="worker"),
        strings("labels", "`key=value` pairs that units ask for"),
    ),
)
TRUSTED_KEY = Type(
    "trusted_key",
    (
        string("name", "file name without suffix: letters, digits, `.`, `_`, `-`", required=True),
        string("public_key", "Ed25519 public key, PEM (`BEGIN PUBLIC KEY`)"),
        string("local", "file below the files directory that holds the key"),
    ),
    key="name",
)
TRUST = Type("trust", (many("keys", TRUSTED_KEY, "keys trusted beside those of the image"),))
QUADLET = Type(
    "quadlet",
    (
        string("name", "file name with its suffix: `web.container`", required=True),
        string("contents", "text of the Quadlet file"),
        string("contents_local", "file below the files directory that holds the text"),
        many("dropins", DROPIN, "files that change it"),
    ),
    key="name",
)
ORLOP = Type(
    "orlop",
    (
        *BASE,
        string("hostname", "name of the machine → `/etc/hostname`", json=None),
        one("update", UPDATE, "updates of the operating system → `/etc/orlop/update.toml`", json=None),
        one("health", HEALTH, "what a good boot is → `/etc/orlop/health.conf`, `/etc/orlop/health.d/NAME`", json=None),
        one("cluster", CLUSTER, "joining a cluster → `/etc/orlop/cluster.toml` (mode 0600)", json=None),
        one("trust", TRUST, "trusted keys → `/etc/orlop/keys.d/NAME.pem`", json=None),
        many("quadlets", QUADLET, "containers → `/etc/containers/systemd/NAME`", json=None),
    ),
)
