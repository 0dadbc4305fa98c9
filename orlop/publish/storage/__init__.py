"""Where a repository is kept: a folder, or object storage."""
