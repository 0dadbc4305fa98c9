"""`orlop denials` on a machine: what SELinux refused since it started."""
