"""From the bytes of an image file to an array, exactly or with a reason."""
