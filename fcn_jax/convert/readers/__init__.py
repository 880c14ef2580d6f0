"""Weight files of Caffe, PyTorch, Keras, NumPy and safetensors as named arrays."""
