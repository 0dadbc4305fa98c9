"""The signed state of a repository: loaded, changed in one step, audited, cleaned up."""
