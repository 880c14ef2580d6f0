"""Inference with a trained or converted network on images of any size."""
