"""The keys that sign a repository, and how they are kept."""
