"""Words that all other nouns are made of: versions, lines of text, addresses, and reading them strictly."""
