"""What this machine can do: its peaks, why each step got its kernel, and refitted predictions."""
