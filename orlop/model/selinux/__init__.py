"""What SELinux keeps apart on a machine: where its policy is, and what a refusal means. Pure."""
