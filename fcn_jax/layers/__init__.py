"""The layers of the reference nets, equal in value to Caffe's."""
