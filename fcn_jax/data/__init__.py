"""Data sets and the input pipeline, from files on disk to padded uint8 batches.

Read in this order: `labels` (classes and palettes), `categories` (classes of whole
images), `examples` (what every data set yields), `images` (reading pictures safely),
`synthetic`, `folder`, `prepared` and `builders/` (the data sets), `sources` (names to
data sets), `transforms`, `pipeline`. Nothing here touches JAX: mean subtraction and
masking happen on the device.
"""
