"""Taking results elsewhere: the model as ONNX, the masks in the formats of other tools."""
