"""Bytes to values and back: TFRecord framing, TensorBoard events, layer frames. No I/O."""
