"""A directory of images and labels as a data set."""
