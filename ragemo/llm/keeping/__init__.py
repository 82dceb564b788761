"""How an answer that was paid for is kept, and found again.

answer_cache  the file: SQLite, shared by runs and processes
cached_model  a model in front of which the file answers what it knows
group_commit  one write for many that wait for the disk
group_read    one look for many that ask at once
"""
