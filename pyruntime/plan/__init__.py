"""Graph -> Program -> `.pyrt` file."""
