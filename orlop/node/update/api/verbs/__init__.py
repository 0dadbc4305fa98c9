"""What `orlop node …` does about updates, on the machine itself: each asks the engine over its socket."""
