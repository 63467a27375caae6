"""A merchant's catalogue as files: read, understood, tagged, and written back."""
