"""The networks: three backbones, skip heads, and the FCN that joins them."""
