"""A machine that updates itself: its states, what it remembers, whom a bad boot is about, and what is next."""
