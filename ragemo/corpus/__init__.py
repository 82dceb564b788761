"""Read, validate and convert corpora; choose transcripts; cut windows."""
