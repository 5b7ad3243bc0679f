"""A distributed load harness for agent memories."""
