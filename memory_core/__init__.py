"""An agent-memory store: three tiers on RocksDB, similarity search by FAISS."""
