"""What the files, units and habits of other systems mean here: one table, who honours it, and who says so.

    table     every entry: where it is met, what becomes of it, what to write; start here. Pure, by names alone: the
              check, the simulation and the page of the reference all read it
    texts     what a config has at a path or in a unit, for who looks into it
    updates   Zincati's, Flatcar's and locksmith's settings  → /etc/orlop/update.toml
    network   NetworkManager's keyfiles                      → /etc/systemd/network
    clock     chrony's servers                               → /etc/systemd/timesyncd.conf.d
    anchors   certificates of authorities                    → /etc/ssl/certs/ca-certificates.crt
    honour    the four of them, as sugar
    notice    a warning for all the rest
    page      the table as documentation

Invariants: what is honoured means exactly what it meant there, else it is left out with a warning. Where it is about
updates and reboots the doubt is for *off*: the opposite of what was asked never happens. A file of this system's own
that the config has already stays as it is.
"""
