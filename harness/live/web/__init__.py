"""The live page of a run: what it is made of, what it is fed with, and who serves it."""
