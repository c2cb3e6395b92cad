"""What runs inside Triton: arrays in, arrays out; `repository/` is mounted as the model repository."""
