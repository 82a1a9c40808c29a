"""The story: one file per thing that can happen."""
