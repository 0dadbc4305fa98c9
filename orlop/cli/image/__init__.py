"""`orlop image`: building the operating system, and looking into it."""
