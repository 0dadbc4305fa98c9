"""Proofs that what the documentation promises holds: every power cut of an update, on a model and on a machine."""
